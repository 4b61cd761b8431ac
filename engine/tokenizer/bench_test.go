package tokenizer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mixedText is English prose and Go code, about 4 MB: the standard library's own
// documentation and sources.
func mixedText(b *testing.B) string {
	b.Helper()
	var sb strings.Builder
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skipf("no go command: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(goroot)), "src")
	for _, pattern := range []string{"net/http/*.go", "go/types/*.go", "encoding/json/*.go", "../doc/*.html", "../doc/*.md"} {
		files, _ := filepath.Glob(filepath.Join(root, pattern))
		for _, f := range files {
			if text, err := os.ReadFile(f); err == nil {
				sb.Write(text)
			}
			if sb.Len() > 4<<20 {
				return sb.String()
			}
		}
	}
	if sb.Len() == 0 {
		b.Skip("no Go sources to read")
	}
	return sb.String()
}

func BenchmarkEncodeQwen3(b *testing.B)  { benchmarkEncode(b, "qwen3") }
func BenchmarkEncodeLlama3(b *testing.B) { benchmarkEncode(b, "llama3_1") }
func BenchmarkEncodeO200k(b *testing.B)  { benchmarkEncode(b, "gptoss") }
func BenchmarkEncodeDeepSeek(b *testing.B) {
	benchmarkEncode(b, "deepseek_v3")
}

func benchmarkEncode(b *testing.B, name string) {
	tok := family(b, name)
	text := mixedText(b)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		tok.Encode(text, false)
	}
}

func BenchmarkLoadQwen3(b *testing.B) {
	file, config := familyFiles(b, "qwen3")
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := FromJSON(file, config); err != nil {
			b.Fatal(err)
		}
	}
}
