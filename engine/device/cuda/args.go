package cuda

import (
	"unsafe"

	"github.com/godwit-ai/godwit/engine/device/cuda/driver"
)

// The parameter structs of the kernels, field by field as in kernels/*.cu. Their sizes
// are compared with the kernels' own when the code is loaded.

// Number formats on the device.
const (
	f32 int32 = iota
	f16
	bf16
	q8_0
	q4_0
	q4_1
)

type pointer = driver.Pointer

type matrixArgs struct {
	q, d, m      pointer
	typ, n, k, _ int32
}

type embedArgs struct {
	table         matrixArgs
	tokens, out   pointer
	drawn, header pointer
	_, _          int32
}

type normArgs struct {
	x, w, out         pointer
	xType, outType    int32
	xStride, outStrid int32
	width             int32
	eps               float32
}

type moveArgs struct {
	x, y, from, out             pointer
	xType, yType, outType       int32
	xStride, yStride, outStride int32
	width, rows, glu, _         int32
}

type copyArgs struct {
	cache                      pointer
	planeBytes, pageByt, bytes int64
	src, dst                   int32
}

type tableArgs struct {
	freq, out       pointer
	scale           float64
	positions, half int32
}

type partArgs struct {
	x, norm, table, out                pointer
	xType, outType, xStride, outStride int32
	heads, interleaved, toCache        int32
	eps                                float32
}

type headsArgs struct {
	part                    [3]partArgs
	positions, slots        pointer
	parts, headDim, rows, _ int32
}

type linearArgs struct {
	w                                       matrixArgs
	x, bias, residual, norm                 pointer
	out, partial, counters                  pointer
	rows, xType, xStride                    int32
	residualStride, outType, outStride, glu int32
	splits                                  int32
	eps                                     float32
	shared, tiles                           int32
	tops, samples                           pointer
	delta, slots                            pointer
	deltaStride, deltaType                  int32
	flag                                    pointer
}

// loraTerm is a pair of an adapter in a product.
type loraTerm struct {
	a, b          pointer
	first, octets int32
	factor        float32
	total         int32
}

// loraPair is where the columns of a pair's product lie.
type loraPair struct{ n, offset, step, _ int32 }

type loraArgs struct {
	x, norm, delta      pointer
	terms, tiles, order pointer
	pair                [loraPairs]loraPair
	pairs, slotTerms    int32
	k, xStride          int32
	deltaStride, base   int32
	items               int32
	eps                 float32
	xType, _            int32
	flag                pointer
}

// togetherArgs are a product and what adapters add to it.
type togetherArgs struct {
	l                                         linearArgs
	terms, active, mid                        pointer
	pair                                      [loraPairs]loraPair
	pairs, slotTerms, octets, tiles, slots, _ int32
}

type narrowArgs struct {
	p, beyond pointer
	n         int64
}

type dequantArgs struct {
	w           matrixArgs
	out         pointer
	first, rows int32
}

type attentionArgs struct {
	q, k, v, out                    pointer
	tables, seqs, rowSeq, positions pointer
	work, header, partial, counters pointer
	qStride, typ                    int32
	heads, kvHeads, headDim         int32
	pageTokens, pageShift           int32
	window, splits                  int32
	scale                           float32
	qNorm, kNorm, qTable, kTable    pointer
	kNew, vNew, slots               pointer
	qEps, kEps                      float32
	qInterleaved, kInterleaved      int32
}

type sampleRow struct {
	seed                            uint64
	choice, position                uint32
	draw, target, logprob, topK     int32
	inverse                         float32
	greedy                          int32
	topP, minX                      float32
	frequency, presence, repetition float32
	counts, nCounts                 int32
	banned, nBanned                 int32
	bias, nBias                     int32
	mask, nMask                     int32
	saved                           int32
	fed, _                          int32
}

type sampleArgs struct {
	logits, rows, lists, saved      pointer
	header, tokens, logprobs, drawn pointer
	tops, left                      pointer
	vocab, tile, tiles, _           int32
}

// clusterBlocks is the number of blocks that sample a row together.
const clusterBlocks = 8

type kernelInfo struct {
	name   string
	shared int // most dynamic shared memory that launches ask for
}

const (
	gemm128Shared  = 3 * (128 + 128) * 128
	gemm64Shared   = 4 * (64 + 64) * 128
	gemm32Shared   = 5 * (32 + 64) * 128
	wgmma128Shared = 3*(128+128)*128 + 1024
	wgmma64Shared  = 4*(64+64)*128 + 1024
	wgmma256Shared = 4*(256+128)*128 + 1024
	batch32Shared  = 4*(64+32)*128 + 1024
	batch64Shared  = 4*(64+64)*128 + 1024
	batch128Shared = 4*(64+128)*128 + 1024
	allShared      = -1                                                 // what the GPU has, less skinnyStatic
	skinnyStatic   = 5 << 10                                            // shared memory of the skinny kernels beside their operand
	oneShared      = 16 * 8 * 64 * 4                                    // sums of the warps of decode_one
	aloneShared    = 32*8 + 32*8 + 2*16 + 256*8 + 2048*16 + 2048*4 + 24 // struct Alone of sample.cu
	togetherShared = 16*8 + 16*8 + 2*16 + 256*8 + 1024*16 + 2048*4 + 24 // struct Together
)

var kernelTable = map[string][]kernelInfo{
	"rows": {{"embed", 0}, {"rmsnorm", 0}, {"move", 0}, {"copypage", 0}, {"ropetable", 0}, {"heads", 0}},
	"linear": {{"plain", 0}, {"dequant", 0}, {"narrow", 0},
		{"skinny_bf16_8", allShared}, {"skinny_bf16_16", allShared}, {"skinny_f16_8", allShared}, {"skinny_f16_16", allShared},
		{"skinny_q8_0_8", allShared}, {"skinny_q8_0_16", allShared}, {"skinny_q4_0_8", allShared}, {"skinny_q4_0_16", allShared},
		{"skinny_q4_1_8", allShared}, {"skinny_q4_1_16", allShared}},
	"gemm": {{"gemm_bf16_128", gemm128Shared}, {"gemm_bf16_64", gemm64Shared}, {"gemm_bf16_32", gemm32Shared},
		{"gemm_f16_128", gemm128Shared}, {"gemm_f16_64", gemm64Shared}, {"gemm_f16_32", gemm32Shared}},
	"batch": {{"batch_bf16_32", batch32Shared}, {"batch_bf16_64", batch64Shared}, {"batch_bf16_128", batch128Shared},
		{"batch_f16_32", batch32Shared}, {"batch_f16_64", batch64Shared}, {"batch_f16_128", batch128Shared},
		{"together_32", batch32Shared}, {"together_64", batch64Shared}, {"together_turns_32", batch32Shared}, {"together_turns_64", batch64Shared}},
	"wgmma": {{"wgmma_bf16_128", wgmma128Shared}, {"wgmma_bf16_64", wgmma64Shared}, {"wgmma_bf16_256", wgmma256Shared}, {"wgmma_f16_256", wgmma256Shared},
		{"wgmma_f16_128", wgmma128Shared}, {"wgmma_f16_64", wgmma64Shared}},
	"attention": {{"attention_plain", 0}, {"decode_all_bf16_64", 0}, {"decode_all_bf16_128", 0}, {"decode_all_f16_64", 0}, {"decode_all_f16_128", 0},
		{"decode_many_bf16_64", 0}, {"decode_many_bf16_128", 0}, {"decode_many_f16_64", 0}, {"decode_many_f16_128", 0},
		{"decode_one_bf16_64", oneShared}, {"decode_one_bf16_128", oneShared}, {"decode_one_f16_64", oneShared}, {"decode_one_f16_128", oneShared},
		{"decode_bf16_64", 0}, {"decode_bf16_128", 0}, {"decode_f16_64", 0}, {"decode_f16_128", 0},
		{"prefill_bf16_64", prefillShared(64)}, {"prefill_bf16_128", prefillShared(128)},
		{"prefill_f16_64", prefillShared(64)}, {"prefill_f16_128", prefillShared(128)}},
	"flash":  {{"flash_bf16_64", flashShared(64)}, {"flash_bf16_128", flashShared(128)}, {"flash_f16_64", flashShared(64)}, {"flash_f16_128", flashShared(128)}},
	"lora":   {{"lora_16", allShared}, {"lora_64", allShared}, {"lora_plain", 0}},
	"sample": {{"sample", aloneShared}, {"sample_cluster", allShared}, {"sample_tiles", 0}, {"mask_tiles", 0}},
}

// flashShared is 128 queries and, for heads of 64, three stages of 64 keys and 64 values,
// or two of twice the size.
func flashShared(headDim int) int {
	if headDim == 64 {
		return 1024 + 4*16384
	}
	return 1024 + 3*32768
}

// prefillShared is two stages of 64 keys and 64 values.
func prefillShared(headDim int) int { return 2 * 2 * 64 * headDim * 2 }

type structInfo struct {
	name string
	size uint32
}

func sizeOf[T any](name string) structInfo {
	var v T
	return structInfo{name, uint32(unsafe.Sizeof(v))}
}

var structTable = map[string][]structInfo{
	"rows": {sizeOf[embedArgs]("EmbedArgs"), sizeOf[normArgs]("NormArgs"), sizeOf[moveArgs]("MoveArgs"),
		sizeOf[copyArgs]("CopyArgs"), sizeOf[tableArgs]("TableArgs"), sizeOf[headsArgs]("HeadsArgs")},
	"linear":    {sizeOf[linearArgs]("LinearArgs"), sizeOf[dequantArgs]("DequantArgs"), sizeOf[narrowArgs]("NarrowArgs")},
	"attention": {sizeOf[attentionArgs]("AttentionArgs")},
	"lora":      {sizeOf[loraTerm]("LoraTerm"), sizeOf[loraArgs]("LoraArgs")},
	"batch":     {sizeOf[togetherArgs]("TogetherArgs")},
	"sample": {sizeOf[sampleRow]("SampleRow"), sizeOf[sampleArgs]("SampleArgs"),
		{"SampleAlone", aloneShared}, {"SampleTogether", togetherShared}},
}

var typeNames = [...]string{f32: "f32", f16: "f16", bf16: "bf16", q8_0: "q8_0", q4_0: "q4_0", q4_1: "q4_1"}

// typeBytes is the size of an activation's element.
func typeBytes(t int32) int {
	if t == f32 {
		return 4
	}
	return 2
}
