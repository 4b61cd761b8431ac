#include "textflag.h"

// The runtime's g starts with the bounds of the goroutine's stack, lo and hi, and two
// guards; then comes its innermost panic, which starts with the panic's argument.

// func stackUsed() uintptr
TEXT ·stackUsed(SB), NOSPLIT, $0-8
	MOVD 8(g), R0
	MOVD RSP, R1
	SUB  R1, R0, R0
	MOVD R0, ret+0(FP)
	RET

// func goroutine() uintptr
TEXT ·goroutine(SB), NOSPLIT, $0-8
	MOVD g, ret+0(FP)
	RET

// func panicking() any
TEXT ·panicking(SB), NOSPLIT, $0-16
	MOVD 32(g), R0
	MOVD ZR, R1
	MOVD ZR, R2
	CBZ  R0, done
	LDP  (R0), (R1, R2)
done:
	MOVD R1, ret_type+0(FP)
	MOVD R2, ret_data+8(FP)
	RET
