package chat

import "testing"

func BenchmarkRender(b *testing.B) {
	tmpl := ownTemplate(b)
	var cases []testCase
	readTestdata(b, "cases.json", &cases)
	in := cases[3].input(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tmpl.Render(in); err != nil {
			b.Fatal(err)
		}
	}
}
