package cpu

import (
	"math/bits"
	"unsafe"
)

// kernels are the inner loops at one level of instructions. Each is defined by its
// pure Go version; the others differ in rounding only.
type kernels struct {
	name string
	// tile is the most columns (rows of activations) of one product, a power of two.
	tile int
	// product computes a group of 16 weight rows times 1<<i activation rows.
	product [layouts][5]func(*productArgs)
	// quantize writes one activation row into its tile.
	quantize func(*quantizeArgs)
	// sumSquares is Σ x², n a multiple of 16.
	sumSquares func(x *float32, n int) float32
	// scaleBy is dst = x · s · w, n a multiple of 16.
	scaleBy func(dst, x, w *float32, s float32, n int)
	// add is dst = x + y, n a multiple of 16.
	add func(dst, x, y *float32, n int)
	// siluMul is dst = silu(x) · y, n a multiple of 16.
	siluMul func(dst, x, y *float32, n int)
	// maxOf is the largest of n > 0 elements, n a multiple of 16.
	maxOf func(x *float32, n int) float32
	// expSum is x = exp(x - shift) in place and returns the sum; n a multiple of 16;
	// -Inf becomes exactly 0.
	expSum func(x *float32, shift float32, n int) float32
	// blend is dst = a·dst + b·x, n a multiple of 16.
	blend func(dst, x *float32, a, b float32, n int)
	// scores are the dot products of n queries with blocks of 16 keys.
	scores [scoreQueries + 1]func(*scoresArgs)
	// mix is the weighted sum of the values of tokens for n queries, 16 or 64 columns
	// of it.
	mix16, mix64 [mixQueries + 1]func(*mixArgs)
	// dots are products of 8 rows of an adapter's A with one row of activations.
	dots [floatLayouts]func(*dotsArgs)
	// grow adds the products of an adapter's B with the few numbers in between.
	grow [floatLayouts]func(*growArgs)
	// growEight is grow for B in 8 bits (eight.go), for several rows. Without it adapters are
	// kept as they are.
	growEight func(*growEightArgs)
	// argmax finds in each of 16 lanes the largest of n elements, n a multiple of 16,
	// and its first index, ignoring NaN.
	argmax func(a *argmaxArgs)
}

// productArgs: out[c] = start[c] + w · x[c] for the n columns c of a tile.
// Every sum starts from start (a residual, a bias or zeros) and adds block after
// block, so that it does not depend on n.
type productArgs struct {
	w        unsafe.Pointer // a group
	x        unsafe.Pointer // a tile of activations
	out      unsafe.Pointer // 16 float32 per column
	start    unsafe.Pointer // 16 float32 per column
	outStep  uintptr        // bytes from column to column
	fromStep uintptr
	blocks   int
	n        int // the pure Go version needs it; assembly is made for one n
	ahead    ahead
}

// ahead is memory that products ask for meanwhile, so that it is in the second cache
// soon; they move it on. The pure Go version leaves it alone.
type ahead struct {
	runs     *run           // the current one; nil: nothing is left
	p        unsafe.Pointer // where it goes on
	lines    int            // what is left of it
	perBlock int            // lines to ask for in each block, at least 1; may be rounded up to a multiple of 4
}

// run is a stretch of cache lines; one of no lines ends a list.
type run struct {
	p     unsafe.Pointer
	lines int
}

// A tile of quantised activations has for each block of 32 columns the n rows'
// 32 high bytes and 32 low bytes (value = scale · (128·high + low)), then n each of
// the scale, the scale times the sum, and -128 times the sum of the first and of
// the second half, which takes the offset of 8-bit weights back.
const quantBytes = 64 + 16 // per row and block

// quantLevels is the largest magnitude of a quantised activation.
const quantLevels = 127 * 128

// quantizeArgs: x [32·blocks] goes to row c of a tile of n.
type quantizeArgs struct {
	x      unsafe.Pointer
	dst    unsafe.Pointer // tile + 64·c
	aux    unsafe.Pointer // tile + 64·n + 4·c
	step   uintptr        // bytes from block to block: 80·n
	auxGap uintptr        // bytes between the four numbers: 4·n
	blocks int
}

// scoreQueries and mixQueries are the most queries of a pass over keys or values.
const (
	scoreQueries = 8
	mixQueries   = 6
)

// aheadBlocks is how many pointers must follow the blocks of a list. Kernels fetch
// what they point at into the cache, and AVX-512 may score one block too many. One
// more than the distance, because it takes two blocks at once.
const aheadBlocks = 5

// scoresArgs: out[q][16·b+t] = Σ_d q[d][q] · k[b][d][t]. One block after the last
// may be written too.
type scoresArgs struct {
	q       unsafe.Pointer  // [dim][n]
	k       *unsafe.Pointer // [blocks + aheadBlocks], each [dim][16]
	out     unsafe.Pointer
	outStep uintptr // bytes from query to query
	dim     int
	blocks  int
	n       int // the pure Go version needs it; assembly is made for one n
}

// mixArgs: out[q][0:16 or 64] = Σ_t p[q][t] · v[t/16][t%16].
type mixArgs struct {
	p       unsafe.Pointer
	v       *unsafe.Pointer // of each block of 16 tokens, and aheadBlocks more
	out     unsafe.Pointer
	pStep   uintptr // bytes from query to query
	vStep   uintptr // bytes from token to token
	outStep uintptr // bytes from query to query
	tokens  int     // at least 1
	n       int
}

// dotRows are the rows of one pass of dots.
const dotRows = 8

// dotsArgs: out[r] = Σ w[r][k] · x[k] for 8 rows r, which w holds in chunks of 16
// columns, a chunk row by row. Sixteen sums for each row are added up at the end.
// Rows of bfloat16 lie in pairs, whose values are the halves of words, low ones first.
type dotsArgs struct {
	w      unsafe.Pointer
	x      unsafe.Pointer // float32, as many as columns
	out    unsafe.Pointer // 8 float32
	chunks int            // at least 1
}

// growArgs: out[g] += w[g] · x for groups of 16 rows one after the other, w [rank][16]
// in each; lines of bfloat16 lie in pairs like the rows of dotsArgs, the last with zeros
// if the rank is odd.
type growArgs struct {
	w      unsafe.Pointer
	x      unsafe.Pointer // rank float32
	out    unsafe.Pointer // 16 float32 per group
	groups int
	rank   int // at least 1
	step   int // bytes from group to group of w
}

// growEightArgs: out[r][g] += w[r][first+g] · x[r] for n > 0 rows and groups of 16 results.
type growEightArgs struct {
	rows    *growRow
	n       int
	out     unsafe.Pointer // 16 float32 per group
	outStep uintptr        // bytes from row to row
	groups  int
	first   int        // group
	_       [3]uintptr // the kernel's own: row, out and what is left of n. No pointers: they end behind what they began in
}

// growRow is what a row has of growEightArgs.
type growRow struct {
	w    unsafe.Pointer // group 0; nil: nothing is added
	x    unsafe.Pointer // tile of one row
	rank int            // at least 1
	step int            // bytes from group to group of w
}

// growBytes is the size of a group of growArgs.
func growBytes(l layout, rank int) int {
	if l == bf16Lines {
		rank = (rank + 1) &^ 1
	}
	return rank * blockBytes[l]
}

type argmaxArgs struct {
	x     unsafe.Pointer
	n     int
	value [16]float32
	index [16]int32 // -1: nothing above -Inf
}

// tileAt is the tile of row i when rows are cut into tiles of at most most, then
// into falling powers of two.
func tileAt(i, rows, most int) (first, n int) {
	if full := rows &^ (most - 1); i < full {
		return i &^ (most - 1), most
	}
	first = rows &^ (most - 1)
	for rest := rows - first; ; {
		n = 1 << (bits.Len(uint(rest)) - 1)
		if i < first+n {
			return first, n
		}
		first, rest = first+n, rest-n
	}
}

func log2(n int) int { return bits.Len(uint(n)) - 1 }

func floatsAt(p unsafe.Pointer, n int) []float32 { return unsafe.Slice((*float32)(p), n) }

func bytesAt(p unsafe.Pointer, n int) []byte { return unsafe.Slice((*byte)(p), n) }
