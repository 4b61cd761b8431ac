#include "textflag.h"

// A stub calls the function value in its slot of the table: the context register is the
// function value, whose first word is its code. No argument register is touched.
#define STUB(at) \
	PCALIGN $16; \
	MOVQ ·stubTable+(at)(SB), DX; \
	MOVQ (DX), R12; \
	JMP R12;

#define STUBS8(at) \
	STUB(at+0) STUB(at+8) STUB(at+16) STUB(at+24) STUB(at+32) STUB(at+40) STUB(at+48) STUB(at+56)

#define STUBS64(at) \
	STUBS8(at+0) STUBS8(at+64) STUBS8(at+128) STUBS8(at+192) STUBS8(at+256) STUBS8(at+320) STUBS8(at+384) STUBS8(at+448)

#define STUBS512(at) \
	STUBS64(at+0) STUBS64(at+512) STUBS64(at+1024) STUBS64(at+1536) STUBS64(at+2048) STUBS64(at+2560) STUBS64(at+3072) STUBS64(at+3584)

// func methodStubs()
TEXT ·methodStubs(SB), NOSPLIT|NOFRAME, $0-0
	STUBS512(0)
	STUBS512(4096)
	STUBS512(8192)
	STUBS512(12288)
	STUBS512(16384)
	STUBS512(20480)
	STUBS512(24576)
	STUBS512(28672)
	RET

// func stubsStart() unsafe.Pointer
TEXT ·stubsStart(SB), NOSPLIT, $0-8
	LEAQ ·methodStubs(SB), AX
	MOVQ AX, ret+0(FP)
	RET
