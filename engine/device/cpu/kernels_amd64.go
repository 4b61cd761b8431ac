package cpu

import "golang.org/x/sys/cpu"

//go:generate go run -C asm . -out ../kernels_amd64.s -go ../stubs_amd64.go

// available lists the levels of this machine, best first.
func available() []*kernels {
	var all []*kernels
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512VNNI {
		all = append(all, avx512())
	}
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA && hasF16C() {
		all = append(all, avx2())
	}
	return append(all, goKernels())
}

func avx512() *kernels {
	return &kernels{
		name: "avx512", tile: 16, product: productsAVX512,
		quantize: quantizeAVX512, sumSquares: sumSquaresAVX512, scaleBy: scaleByAVX512, add: addAVX512,
		siluMul: siluMulAVX512, maxOf: maxOfAVX512, expSum: expSumAVX512, argmax: argmaxAVX512, blend: blendAVX512,
		scores: scoresAVX512, mix16: mix16AVX512, mix64: mix64AVX512, dots: dotsAVX512, grow: growAVX512, growEight: growEightAVX512,
	}
}

func avx2() *kernels {
	k := &kernels{
		name: "avx2", tile: 2,
		quantize: quantizeAVX2, sumSquares: sumSquaresAVX2, scaleBy: scaleByAVX2, add: addAVX2,
		siluMul: siluMulAVX2, maxOf: maxOfAVX2, expSum: expSumAVX2, argmax: argmaxAVX2, blend: blendAVX2,
		scores: scoresAVX2, mix16: mix16AVX2, mix64: mix64AVX2, dots: dotsAVX2, grow: growAVX2,
	}
	for l, f := range productsAVX2 {
		copy(k.product[l][:], f[:])
	}
	return k
}

// hasF16C reads CPUID: leaf 1, bit 29 of ECX, which package cpu leaves out.
func hasF16C() bool {
	_, _, ecx, _ := cpuid(1, 0)
	return ecx>>29&1 == 1
}
