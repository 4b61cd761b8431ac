package comm

import "embed"

// Source is this package's own source: notebooks show its comments.
//
//go:embed *.go
var Source embed.FS
