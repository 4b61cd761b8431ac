#include "textflag.h"

// The runtime's g starts with the bounds of the goroutine's stack, lo and hi, and two
// guards; then comes its innermost panic, which starts with the panic's argument.

// func stackUsed() uintptr
TEXT ·stackUsed(SB), NOSPLIT, $0-8
	MOVQ TLS, CX
	MOVQ 0(CX)(TLS*1), AX
	MOVQ 8(AX), AX
	SUBQ SP, AX
	MOVQ AX, ret+0(FP)
	RET

// func goroutine() uintptr
TEXT ·goroutine(SB), NOSPLIT, $0-8
	MOVQ TLS, CX
	MOVQ 0(CX)(TLS*1), AX
	MOVQ AX, ret+0(FP)
	RET

// func panicking() any
TEXT ·panicking(SB), NOSPLIT, $0-16
	MOVQ TLS, CX
	MOVQ 0(CX)(TLS*1), AX
	MOVQ 32(AX), AX
	XORL BX, BX
	XORL DX, DX
	TESTQ AX, AX
	JEQ  done
	MOVQ 0(AX), BX
	MOVQ 8(AX), DX
done:
	MOVQ BX, ret_type+0(FP)
	MOVQ DX, ret_data+8(FP)
	RET
