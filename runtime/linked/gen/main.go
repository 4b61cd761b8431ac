// Command gen writes the tables of the third-party packages that package linked offers
// to cells. It needs a Go toolchain and runs by `go generate ./runtime/linked`.
package main

import (
	"log"

	"github.com/godwit-ai/godwit/runtime/symbols/generate"
)

// packages are what cells can import besides the standard library.
var packages = []string{
	"github.com/go-echarts/go-echarts/v2/charts",
	"github.com/go-echarts/go-echarts/v2/components",
	"github.com/go-echarts/go-echarts/v2/opts",
	"github.com/go-echarts/go-echarts/v2/types",
	"github.com/godwit-ai/godwit/runtime/cache",
	"github.com/julienschmidt/httprouter",
	"github.com/klauspost/compress/flate",
	"github.com/klauspost/compress/gzip",
	"github.com/klauspost/compress/s2",
	"github.com/klauspost/compress/zip",
	"github.com/klauspost/compress/zlib",
	"github.com/klauspost/compress/zstd",
	"github.com/pierrec/lz4/v4",
	"github.com/ulikunitz/xz",
	"gonum.org/v1/gonum/blas",
	"gonum.org/v1/gonum/blas/blas64",
	"gonum.org/v1/gonum/cmplxs",
	"gonum.org/v1/gonum/diff/fd",
	"gonum.org/v1/gonum/dsp/fourier",
	"gonum.org/v1/gonum/dsp/window",
	"gonum.org/v1/gonum/floats",
	"gonum.org/v1/gonum/floats/scalar",
	"gonum.org/v1/gonum/graph",
	"gonum.org/v1/gonum/graph/path",
	"gonum.org/v1/gonum/graph/simple",
	"gonum.org/v1/gonum/graph/topo",
	"gonum.org/v1/gonum/graph/traverse",
	"gonum.org/v1/gonum/integrate",
	"gonum.org/v1/gonum/integrate/quad",
	"gonum.org/v1/gonum/interp",
	"gonum.org/v1/gonum/mat",
	"gonum.org/v1/gonum/mathext",
	"gonum.org/v1/gonum/optimize",
	"gonum.org/v1/gonum/spatial/r2",
	"gonum.org/v1/gonum/spatial/r3",
	"gonum.org/v1/gonum/stat",
	"gonum.org/v1/gonum/stat/combin",
	"gonum.org/v1/gonum/stat/distmv",
	"gonum.org/v1/gonum/stat/distuv",
	"gonum.org/v1/plot",
	"gonum.org/v1/plot/font",
	"gonum.org/v1/plot/palette",
	"gonum.org/v1/plot/palette/brewer",
	"gonum.org/v1/plot/palette/moreland",
	"gonum.org/v1/plot/plotter",
	"gonum.org/v1/plot/plotutil",
	"gonum.org/v1/plot/text",
	"gonum.org/v1/plot/vg",
	"gonum.org/v1/plot/vg/draw",
	"gonum.org/v1/plot/vg/vgimg",
	"gonum.org/v1/plot/vg/vgpdf",
	"gonum.org/v1/plot/vg/vgsvg",
}

func main() {
	_, err := generate.Run(generate.Options{
		Dir: ".", Package: "linked", Prefix: "pkg_", Library: "linked packages", Patterns: packages,
	})
	if err != nil {
		log.Fatal(err)
	}
}
