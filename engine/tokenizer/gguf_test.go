package tokenizer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// ggufReader reads just the metadata that a tokenizer needs.
type ggufReader struct {
	b []byte
	i int
}

func (r *ggufReader) u32() uint32 {
	r.i += 4
	return binary.LittleEndian.Uint32(r.b[r.i-4:])
}

func (r *ggufReader) u64() uint64 {
	r.i += 8
	return binary.LittleEndian.Uint64(r.b[r.i-8:])
}

func (r *ggufReader) str() string {
	n := int(r.u64())
	r.i += n
	return string(r.b[r.i-n : r.i])
}

func (r *ggufReader) value(kind uint32) any {
	switch kind {
	case 0, 1, 7:
		r.i++
		return r.b[r.i-1] != 0
	case 2, 3:
		r.i += 2
		return nil
	case 4, 5:
		return int32(r.u32())
	case 6:
		return math.Float32frombits(r.u32())
	case 8:
		return r.str()
	case 9:
		elem, n := r.u32(), int(r.u64())
		out := make([]any, n)
		for i := range out {
			out[i] = r.value(elem)
		}
		return out
	}
	return r.u64()
}

func listOf[T any](v any) []T {
	items, _ := v.([]any)
	out := make([]T, len(items))
	for i, it := range items {
		out[i], _ = it.(T)
	}
	return out
}

// smolLM2Vocabulary reads the real model file.
func smolLM2Vocabulary(t testing.TB) Vocabulary {
	t.Helper()
	path := os.Getenv("GODWIT_TEST_MODEL")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skip("no cache folder and GODWIT_TEST_MODEL is not set")
		}
		path = filepath.Join(cache, "godwit", "models", "SmolLM2-135M-Instruct.Q4_1.gguf")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("the real model is absent: %v", err)
	}
	defer f.Close()
	head := make([]byte, 4<<20)
	n, _ := f.Read(head)
	r := &ggufReader{b: head[:n], i: 16}
	fields := map[string]any{}
	for range r.u64() {
		key := r.str()
		fields[strings.TrimPrefix(key, "tokenizer.ggml.")] = r.value(r.u32())
	}
	v := Vocabulary{BOS: fields["bos_token_id"].(int32), EOS: fields["eos_token_id"].(int32), EOT: -1, EOM: -1, Unk: 0, Pad: 2}
	v.Model, v.Pre = fields["model"].(string), fields["pre"].(string)
	v.Tokens, v.Types, v.Merges = listOf[string](fields["tokens"]), listOf[int32](fields["token_type"]), listOf[string](fields["merges"])
	return v
}

func TestSmolLM2EncodesAsTheReferenceLibrary(t *testing.T) {
	tok, err := FromGGUF(smolLM2Vocabulary(t))
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, g := range readGoldens(t, sharedData(t, "tokenizer", "goldens-4-families.jsonl")) {
		texts[fmt.Sprint(g.Set, g.I)] = g.Text
	}
	goldens := readGoldens(t, filepath.Join("testdata", "smollm2.jsonl"))
	if len(goldens) < 200 {
		t.Fatalf("%d goldens", len(goldens))
	}
	for _, g := range goldens {
		text := g.Text
		if text == "" {
			text = texts[fmt.Sprint(g.Set, g.I)]
		}
		if got := tok.Encode(text, true); !slices.Equal(got, g.IDs) {
			t.Errorf("%s %d %q:\n got %v\nwant %v", g.Set, g.I, text, got, g.IDs)
		}
	}
	if id, ok := tok.ID("<|im_end|>"); !ok || id != 2 || !tok.IsSpecial(2) || !slices.Equal(tok.EOS(), []int32{2}) {
		t.Errorf("<|im_end|> is %d, special %v, EOS %v", id, tok.IsSpecial(2), tok.EOS())
	}
	if tok.VocabSize() != 49152 {
		t.Errorf("vocabulary of %d", tok.VocabSize())
	}
}

func BenchmarkLoadSmolLM2(b *testing.B) {
	v := smolLM2Vocabulary(b)
	for b.Loop() {
		if _, err := FromGGUF(v); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeSmolLM2(b *testing.B) {
	tok, err := FromGGUF(smolLM2Vocabulary(b))
	if err != nil {
		b.Fatal(err)
	}
	text := mixedText(b)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		tok.Encode(text, false)
	}
}

// tinySPM is a SentencePiece-style vocabulary with all bytes.
func tinySPM() Vocabulary {
	v := Vocabulary{Model: "llama", BOS: 1, EOS: 2, EOT: -1, EOM: -1, Unk: 0, Pad: -1, AddBOS: true, AddSpacePrefix: true}
	add := func(token string, kind int32, score float32) {
		v.Tokens, v.Types, v.Scores = append(v.Tokens, token), append(v.Types, kind), append(v.Scores, score)
	}
	add("<unk>", TokenUnknown, 0)
	add("<s>", TokenControl, 0)
	add("</s>", TokenControl, 0)
	for b := range 256 {
		add(fmt.Sprintf("<0x%02X>", b), TokenByte, 0)
	}
	for i, token := range []string{"▁t", "he", "▁the", "er", "▁a", "in"} {
		add(token, TokenNormal, -float32(i))
	}
	for _, c := range "▁thernai" {
		add(string(c), TokenNormal, -100)
	}
	return v
}

func TestSentencePieceMergesByScoreAndFallsBackToBytes(t *testing.T) {
	tok, err := FromGGUF(tinySPM())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, want string }{
		{"the", "▁the"},
		{"there", "▁the r e"},
		{"the er", "▁the ▁ er"},
		{"a\ntin é", "▁a <0x0A> t in ▁ <0xC3> <0xA9>"},
		{"▁a", "▁ ▁a"},
		{"a</s>in", "▁a </s> ▁ in"},
	} {
		ids := tok.Encode(c.text, false)
		var got []string
		for _, id := range ids {
			got = append(got, tok.TokenString(id))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q gives %q, want %q", c.text, strings.Join(got, " "), c.want)
		}
		if back := tok.Decode(tok.Encode(c.text, true), true); c.text[0] < 0x80 && !strings.Contains(c.text, "<") && back != c.text {
			t.Errorf("%q comes back as %q", c.text, back)
		}
	}
	the, _ := tok.ID("▁the")
	after := tok.NewDecoderAfter([]int32{1, the}, true)
	if got := after.Next(the); got != " the" {
		t.Errorf("after a prompt the blank is part of the answer: %q", got)
	}
	first := tok.NewDecoderAfter([]int32{1}, true)
	if got := first.Next(the); got != "the" {
		t.Errorf("after BOS alone the blank is dropped: %q", got)
	}
}

func TestBadVocabulariesAreLocatedErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Vocabulary)
		says string
	}{
		{"a byte token below zero", func(v *Vocabulary) { v.Tokens[3] = "<0x-1>" }, "token 3: byte token"},
		{"a byte token that is no number", func(v *Vocabulary) { v.Tokens[4] = "<0xZZ>" }, "token 4: byte token"},
		{"a byte twice", func(v *Vocabulary) { v.Tokens[4] = "<0x00>" }, "two ids"},
		{"too few scores", func(v *Vocabulary) { v.Scores = v.Scores[:5] }, "5 scores"},
		{"no scores", func(v *Vocabulary) { v.Scores = nil }, "scores are missing"},
		{"a score that is no number", func(v *Vocabulary) { v.Scores[270] = float32(math.NaN()) }, "token 270"},
		{"an unknown type", func(v *Vocabulary) { v.Types[270] = 77 }, "type 77"},
		{"an EOS outside", func(v *Vocabulary) { v.EOS = 100000 }, "eos token id 100000"},
		{"no tokens", func(v *Vocabulary) { v.Tokens = nil }, "tokens are missing"},
		{"an unknown model", func(v *Vocabulary) { v.Model = "bert" }, `"bert"`},
		{"a token of a mebibyte", func(v *Vocabulary) { v.Tokens[270] = strings.Repeat("a", 1<<20) }, "token 270"},
		{"an unknown pre-tokenizer", func(v *Vocabulary) { v.Model, v.Pre = "gpt2", "viking" }, `"viking"`},
		{"a merge of absent tokens", func(v *Vocabulary) {
			*v = Vocabulary{Model: "gpt2", Pre: "smollm", BOS: -1, EOS: -1, EOT: -1, EOM: -1, Unk: -1, Pad: -1, Tokens: []string{"a", "b", "ab"}, Merges: []string{"a b", "a c"}}
		}, `merge 1: token "c"`},
		{"a merge that makes an absent token", func(v *Vocabulary) {
			*v = Vocabulary{Model: "gpt2", Pre: "smollm", BOS: -1, EOS: -1, EOT: -1, EOM: -1, Unk: -1, Pad: -1, Tokens: []string{"a", "b"}, Merges: []string{"a b"}}
		}, `"ab", which the merge makes`},
		{"a merge of one token", func(v *Vocabulary) {
			*v = Vocabulary{Model: "gpt2", Pre: "smollm", BOS: -1, EOS: -1, EOT: -1, EOM: -1, Unk: -1, Pad: -1, Tokens: []string{"a", "b"}, Merges: []string{"ab"}}
		}, "merge 0"},
		{"a token twice", func(v *Vocabulary) {
			*v = Vocabulary{Model: "gpt2", Pre: "smollm", BOS: -1, EOS: -1, EOT: -1, EOM: -1, Unk: -1, Pad: -1, Tokens: []string{"a", "b", "a"}}
		}, "two ids, 0 and 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := tinySPM()
			c.edit(&v)
			if _, err := FromGGUF(v); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
}

// tinyJSON is a byte-level tokenizer.json with all bytes, a few merges and added tokens.
func tinyJSON(edit func(map[string]any)) []byte {
	vocab := map[string]int{}
	for b := range 256 {
		vocab[string(runeOfByte[b])] = b
	}
	merges := []any{}
	for _, m := range [][2]string{{"h", "e"}, {"Ġ", "t"}, {"Ġt", "he"}, {"a", "a"}, {"aa", "aa"}, {"aaaa", "aaaa"}, {"Ã", "©"}} {
		vocab[m[0]+m[1]] = len(vocab)
		merges = append(merges, []string{m[0], m[1]})
	}
	n := len(vocab)
	j := map[string]any{
		"added_tokens": []any{
			map[string]any{"id": n, "content": "<s>", "special": true, "normalized": false},
			map[string]any{"id": n + 1, "content": "<think>", "special": false, "normalized": false},
			map[string]any{"id": n + 2, "content": "<s>>", "special": true, "normalized": false},
			map[string]any{"id": n + 3, "content": "<l>", "special": true, "normalized": false, "lstrip": true, "rstrip": true},
			map[string]any{"id": n + 4, "content": "word", "special": false, "normalized": true, "single_word": true},
		},
		"normalizer":    map[string]any{"type": "NFC"},
		"pre_tokenizer": map[string]any{"type": "Sequence", "pretokenizers": []any{map[string]any{"type": "Split", "pattern": map[string]any{"Regex": patternQwen}, "behavior": "Isolated", "invert": false}, map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": false}}},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"post_processor": map[string]any{"type": "TemplateProcessing", "single": []any{map[string]any{"SpecialToken": map[string]any{"id": "<s>"}}, map[string]any{"Sequence": map[string]any{"id": "A"}}},
			"special_tokens": map[string]any{"<s>": map[string]any{"ids": []int{n}}}},
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": merges},
	}
	if edit != nil {
		edit(j)
	}
	out, err := json.Marshal(j)
	if err != nil {
		panic(err)
	}
	return out
}

func tinyTokenizer(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := FromJSON(tinyJSON(nil), []byte(`{"bos_token": {"__type": "AddedToken", "content": "<s>"}, "eos_token": "<think>"}`))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func words(tok *Tokenizer, ids []int32) string {
	var out []string
	for _, id := range ids {
		out = append(out, tok.TokenString(id))
	}
	return strings.Join(out, "|")
}

func TestAddedTokensAreCutOutFirst(t *testing.T) {
	tok := tinyTokenizer(t)
	for _, c := range []struct{ name, text, want string }{
		{"the longest of those that begin leftmost wins", "a<s>>a", "a|<s>>|a"},
		{"white space is taken where the token says so", "a  <l> \n a", "a|<l>|a"},
		{"a single word is not found inside a word", "words word, wordy", "w|o|r|d|s|Ġ|word|,|Ġ|w|o|r|d|y"},
		{"composed after normalisation", "e\u0301 the", "Ã©|Ġthe"},
		{"next to each other", "<s><think><s", "<s>|<think>|<|s"},
	} {
		if got := words(tok, tok.Encode(c.text, false)); got != c.want {
			t.Errorf("%s: %q gives %s, want %s", c.name, c.text, got, c.want)
		}
	}
	if got := words(tok, tok.EncodePlain("<s>a", false)); got != "<|s|>|a" {
		t.Errorf("plain: %s", got)
	}
	if got := words(tok, tok.Encode("a", true)); got != "<s>|a" {
		t.Errorf("with specials: %s", got)
	}
	ids := tok.Encode("<s><think>a", false)
	if got := tok.Decode(ids, true); got != "<think>a" {
		t.Errorf("special tokens are left out, the others stay: %q", got)
	}
	if got := tok.Decode(append(ids, 9999, -1, 1<<30), false); got != "<s><think>a" {
		t.Errorf("ids beyond the vocabulary decode to nothing: %q", got)
	}
	if bos, ok := tok.BOS(); !ok || tok.TokenString(bos) != "<s>" || len(tok.EOS()) != 1 {
		t.Errorf("BOS %d %v, EOS %v", bos, ok, tok.EOS())
	}
}

func TestBadTokenizerFilesAreClearErrors(t *testing.T) {
	model := func(edit func(map[string]any)) []byte {
		return tinyJSON(func(j map[string]any) { edit(j["model"].(map[string]any)) })
	}
	part := func(name string, v any) []byte { return tinyJSON(func(j map[string]any) { j[name] = v }) }
	for _, c := range []struct {
		name string
		file []byte
		says string
	}{
		{"empty", nil, "offset 0"},
		{"cut off", tinyJSON(nil)[:900], "file ends"},
		{"nested without end", []byte(`{"a":` + strings.Repeat("[", 20000)), "nested deeper"},
		{"nested in a part", part("normalizer", json.RawMessage(strings.Repeat(`{"type":"Sequence","normalizers":[`, 40)+strings.Repeat(`]}`, 40))), "nested deeper"},
		{"no model", []byte(`{}`), `"model" is missing`},
		{"data after the end", append(tinyJSON(nil), '1'), "after the end"},
		{"a WordPiece model", model(func(m map[string]any) { m["type"] = "WordPiece" }), `"WordPiece"`},
		{"byte fallback", model(func(m map[string]any) { m["byte_fallback"] = true }), "byte_fallback"},
		{"a negative id", model(func(m map[string]any) { m["vocab"].(map[string]int)["a"] = -1 }), "id -1"},
		{"a huge id", model(func(m map[string]any) { m["vocab"].(map[string]int)["a"] = 1 << 40 }), "outside"},
		{"an id twice", model(func(m map[string]any) { m["vocab"].(map[string]int)["a"] = 98 }), "id 98 is used twice"},
		{"an id that is text", model(func(m map[string]any) { m["vocab"] = map[string]any{"a": "1"} }), "no number"},
		{"a merge of an absent token", model(func(m map[string]any) { m["merges"] = []any{[]string{"h", "e"}, []string{"q", "zz"}} }), `merge 1, offset`},
		{"a merge of three", model(func(m map[string]any) { m["merges"] = []any{[]string{"h", "e", "l"}} }), "3 parts"},
		{"a merge without a blank", model(func(m map[string]any) { m["merges"] = []any{"he"} }), "merge 0"},
		{"an unknown pattern", part("pre_tokenizer", map[string]any{"type": "Split", "pattern": map[string]any{"Regex": `\w+`}, "behavior": "Isolated"}), `\\w+`},
		{"an unknown pre-tokenizer", part("pre_tokenizer", map[string]any{"type": "Metaspace"}), `"Metaspace"`},
		{"no pre-tokenizer", part("pre_tokenizer", nil), "missing"},
		{"an unknown normaliser", part("normalizer", map[string]any{"type": "NFKC"}), `"NFKC"`},
		{"an unknown decoder", part("decoder", map[string]any{"type": "WordPiece"}), `"WordPiece"`},
		{"an unknown post-processor", part("post_processor", map[string]any{"type": "BertProcessing"}), `"BertProcessing"`},
		{"an added token at another's id", part("added_tokens", []any{map[string]any{"id": 5, "content": "<x>"}}), "belongs to"},
		{"an added token with a second id", part("added_tokens", []any{map[string]any{"id": 900, "content": "he"}}), "900"},
		{"an added token without text", part("added_tokens", []any{map[string]any{"id": 900, "content": ""}}), "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := FromJSON(c.file, nil); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
	if _, err := FromJSON(tinyJSON(nil), []byte(`{"eos_token": "<nope>"}`)); err == nil || !strings.Contains(err.Error(), "<nope>") {
		t.Errorf("an EOS that does not exist: %v", err)
	}
}

func TestHostileTextIsEncodedInReasonableTime(t *testing.T) {
	tok := tinyTokenizer(t)
	spm, err := FromGGUF(tinySPM())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"one letter":      strings.Repeat("a", 1<<20),
		"special tokens":  strings.Repeat("<s>", 100_000),
		"almost tokens":   strings.Repeat("<thin", 200_000),
		"white space":     strings.Repeat(" ", 1<<20),
		"newlines":        strings.Repeat(" \n", 1<<19),
		"combining marks": "a" + strings.Repeat("\u0301\u0323", 1<<16),
		"apostrophes":     strings.Repeat("'", 1<<20),
		"broken UTF-8":    strings.Repeat("\xe4\xb8", 1<<19),
	} {
		for kind, tok := range map[string]*Tokenizer{"byte level": tok, "SentencePiece": spm} {
			start := time.Now()
			ids := tok.Encode(text, false)
			if d := time.Since(start); d > 5*time.Minute {
				t.Errorf("%s, %s: %v", name, kind, d)
			}
			if tok.normalize == nil && kind == "byte level" && tok.Decode(ids, false) != text {
				t.Errorf("%s, %s: does not come back", name, kind)
			}
		}
	}
}

func TestEveryScannerCoversTheTextInPieces(t *testing.T) {
	table := classOf()
	texts := []string{"a", " ", "\n", "'", "'S", "\u0301", "\xff", "1a 2", "  \r\n x", "ªA", "\u4e00\u3042a", "!a", "\u200b1"}
	for _, pattern := range []string{patternQwen, patternLlama3, patternO200k, patternGPT2, patternDigits3, patternDigit, patternCJK, patternDeepSeek} {
		next, ok := splitterOf(pattern)
		if !ok {
			t.Fatalf("no scanner for %s", pattern)
		}
		for _, a := range texts {
			for _, b := range texts {
				for rest := a + b; rest != ""; {
					n := next(table, rest)
					if n < 1 || n > len(rest) {
						t.Fatalf("%s on %q: piece of %d bytes", pattern, rest, n)
					}
					rest = rest[n:]
				}
			}
		}
	}
}

func checkStreaming(t *testing.T, tok *Tokenizer, ids []int32) {
	t.Helper()
	for _, skip := range []bool{false, true} {
		d := tok.NewDecoder(skip)
		var sb strings.Builder
		for _, id := range ids {
			piece := d.Next(id)
			if strings.ToValidUTF8(piece, "") != piece {
				t.Fatalf("piece %q is not UTF-8", piece)
			}
			sb.WriteString(piece)
		}
		sb.WriteString(d.Flush())
		if want := tok.Decode(ids, skip); sb.String() != want {
			t.Fatalf("streamed %q, decoded %q", sb.String(), want)
		}
	}
}

func TestStreamingGivesWhatDecodingGives(t *testing.T) {
	tok := tinyTokenizer(t)
	spm, err := FromGGUF(tinySPM())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"é日本😀", "a\xff\xfe", "\xe4\xb8", "\xf0\x9f\x98x", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3", " the <s>"} {
		checkStreaming(t, tok, tok.Encode(text, true))
		checkStreaming(t, spm, spm.Encode(text, true))
	}
	if got := tok.Decode(tok.Encode("a\xf0\x9f\x98x\xe4\xb8", false), false); got != "a\uFFFDx\uFFFD" {
		t.Errorf("each maximal part is one U+FFFD: %q", got)
	}
}

func TestLongRunsOfMarksAreNotBroken(t *testing.T) {
	in := "e" + strings.Repeat("\u0301", 40) + "\u0323"
	got := nfc(in)
	if strings.Contains(got, "\u034F") {
		t.Error("a joiner was put in")
	}
	if want := "\u1EB9\u0301" + strings.Repeat("\u0301", 39); got != want {
		t.Errorf("%+q, want %+q", got, want)
	}
	if nfcUnbounded("e\u0301\u1100\u1161 \u212B") != "é가 Å" {
		t.Errorf("%+q", nfcUnbounded("e\u0301\u1100\u1161 \u212B"))
	}
}

func TestOneTokenizerServesManyGoroutines(t *testing.T) {
	tok := tinyTokenizer(t)
	text := strings.Repeat("the aaaa heaath é <s> 12 word ", 200)
	want := tok.Encode(text, false)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				tok.Encode(fmt.Sprintf("%d %d the", i, j*7919), false)
				if got := tok.Encode(text, false); !slices.Equal(got, want) {
					t.Error("other ids than alone")
					return
				}
			}
		})
	}
	wg.Wait()
}

func FuzzFromJSON(f *testing.F) {
	f.Add(tinyJSON(nil))
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"\u0120":1},"merges":["a a"]}}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		tok, err := FromJSON(file, nil)
		if err != nil {
			return
		}
		ids := tok.Encode("a the é <s> 12", true)
		for _, id := range ids {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Fatalf("id %d of %d", id, tok.VocabSize())
			}
		}
		checkStreaming(t, tok, ids)
	})
}

func FuzzEncodeDecode(f *testing.F) {
	tiny, err := FromJSON(tinyJSON(func(j map[string]any) { j["normalizer"], j["added_tokens"] = nil, []any{}; j["post_processor"] = nil }), nil)
	if err != nil {
		f.Fatal(err)
	}
	spm, err := FromGGUF(tinySPM())
	if err != nil {
		f.Fatal(err)
	}
	full := tinyTokenizer(f)
	f.Add("a the é <s> 12", []byte{1, 2, 200})
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		ids := tiny.Encode(text, false)
		var b []byte
		for _, id := range ids {
			b = append(b, tiny.TokenBytes(id)...)
		}
		if !bytes.Equal(b, []byte(text)) {
			t.Fatalf("%q comes back as %q", text, b)
		}
		var any []int32
		for _, c := range raw {
			any = append(any, int32(c)+int32(len(any)%3)*20)
		}
		for _, tok := range []*Tokenizer{tiny, spm, full} {
			checkStreaming(t, tok, any)
			checkStreaming(t, tok, tok.Encode(text, true))
		}
	})
}
