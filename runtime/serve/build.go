package serve

import (
	"runtime"
	"runtime/debug"
	"strings"
)

// Build says what a program was made from, as the Go toolchain recorded it.
type Build struct {
	Version  string `json:"version"`     // of the module, "devel" for a build in a checkout; with the commit behind a plus if it is known
	Commit   string `json:"commit"`      // "" where none was recorded (-buildvcs=false, no repository)
	Time     string `json:"commit_time"` // RFC 3339
	Modified bool   `json:"modified"`    // files differed from the commit
	Go       string `json:"go"`
	Platform string `json:"platform"` // GOOS/GOARCH
}

// ThisBuild describes the running program.
func ThisBuild() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = nil
	}
	return buildOf(info)
}

// buildOf reads what was recorded; info may be nil.
func buildOf(info *debug.BuildInfo) Build {
	b := Build{Version: "devel", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info == nil {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.time":
			b.Time = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	if v := strings.Trim(info.Main.Version, "()"); v != "" {
		b.Version = v
	}
	if b.Version == "devel" && b.Commit != "" {
		b.Version += "+" + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			b.Version += ".dirty"
		}
	}
	return b
}
