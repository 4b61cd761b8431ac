#include "textflag.h"

// func stackUsed() uintptr
// The runtime's g starts with the bounds of the goroutine's stack: lo, hi.
TEXT ·stackUsed(SB), NOSPLIT, $0-8
	MOVQ TLS, CX
	MOVQ 0(CX)(TLS*1), AX
	MOVQ 8(AX), AX
	SUBQ SP, AX
	MOVQ AX, ret+0(FP)
	RET
