package sample

import "math/bits"

// philox is the counter-based generator Philox4x32-10 of Salmon, Moraes, Dror and
// Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): ten rounds of a
// keyed bijection turn a counter into 128 random bits. It has no state, so a draw
// depends on its key and counter only.
func philox(ctr [4]uint32, key [2]uint32) [4]uint32 {
	const (
		mul0, mul1   = 0xD2511F53, 0xCD9E8D57
		weyl0, weyl1 = 0x9E3779B9, 0xBB67AE85
	)
	for range 10 {
		hi0, lo0 := bits.Mul32(mul0, ctr[0])
		hi1, lo1 := bits.Mul32(mul1, ctr[2])
		ctr = [4]uint32{hi1 ^ ctr[1] ^ key[0], lo1, hi0 ^ ctr[3] ^ key[1], lo0}
		key[0] += weyl0
		key[1] += weyl1
	}
	return ctr
}

// Uniform returns a number in [0, 1) with 53 random bits that depends on its
// arguments only: the seed is the key, (position, choice) the counter.
func Uniform(seed uint64, choice, position uint32) float64 {
	r := philox([4]uint32{position, choice}, [2]uint32{uint32(seed), uint32(seed >> 32)})
	return float64(uint64(r[0])<<21|uint64(r[1])>>11) / (1 << 53)
}
