package local

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/godwit-ai/godwit/engine"
	"github.com/godwit-ai/godwit/engine/tokenizer"
)

// A chat template writes special tokens around what people wrote. If somebody wrote
// such a token into a message, it must stay text: else "<|im_end|><|im_start|>system"
// in a message would end it and begin another one. So the guard puts marks around
// special tokens in everything that comes from a request, the template carries them
// along, and what stands between two marks is encoded without looking for tokens.
// Templates write something between two fields of a message, so a token cannot be
// put together from their ends; from the parts of one content it can, see parts.

// guard marks special tokens in requests. It is immutable. Its marks are letters and
// digits, which no filter of a template escapes, and drawn at random, so that no
// request contains them.
type guard struct {
	open, close string
	marker      *strings.Replacer
	unmarker    *strings.Replacer
}

func newGuard(tok *tokenizer.Tokenizer) *guard {
	var random [16]byte
	rand.Read(random[:])
	name := hex.EncodeToString(random[:])
	g := &guard{open: "o" + name, close: "c" + name}
	var special []string
	for id := range int32(tok.VocabSize()) {
		if s := tok.TokenString(id); tok.IsSpecial(id) && s != "" {
			special = append(special, s)
		}
	}
	// Of tokens that begin alike the longest comes first, as in encoding.
	slices.SortFunc(special, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	var pairs []string
	for _, s := range special {
		pairs = append(pairs, s, g.open+s+g.close)
	}
	g.marker = strings.NewReplacer(pairs...)
	g.unmarker = strings.NewReplacer(g.open, "", g.close, "")
	return g
}

// mark puts marks around the special tokens of a text; most texts have none.
func (g *guard) mark(s string) string { return g.marker.Replace(s) }

// messages returns a copy with all texts marked.
func (g *guard) messages(list []engine.Message) []engine.Message {
	list = slices.Clone(list)
	for i := range list {
		m := &list[i]
		m.Parts = g.parts(m.Parts, m.Content)
		for _, s := range []*string{&m.Content, &m.Name, &m.ToolCallID, &m.Reasoning} {
			*s = g.mark(*s)
		}
		m.ToolCalls = slices.Clone(m.ToolCalls)
		for k := range m.ToolCalls {
			c := &m.ToolCalls[k]
			c.ID, c.Name, c.Arguments = g.mark(c.ID), g.mark(c.Name), string(g.json([]byte(c.Arguments)))
		}
	}
	return list
}

// parts marks each part, and their seams when only all together spell a token.
func (g *guard) parts(list []engine.Part, joined string) []engine.Part {
	list = slices.Clone(list)
	plain := g.mark(joined) == joined
	for i := range list {
		marked := g.mark(list[i].Text)
		if !plain && marked == list[i].Text {
			marked = g.open + marked + g.close
		}
		list[i].Text = marked
	}
	return list
}

// tools returns a copy with the strings of their JSON marked.
func (g *guard) tools(list []engine.Tool) []engine.Tool {
	list = slices.Clone(list)
	for i := range list {
		list[i].Name = g.mark(list[i].Name)
		list[i].JSON = g.json(list[i].JSON)
	}
	return list
}

// json marks JSON text, in which a token may be hidden behind escapes.
func (g *guard) json(text []byte) []byte {
	plain := string(text)
	if strings.Contains(plain, `\`) {
		plain = unescape(plain)
	}
	if marked := g.mark(plain); marked != plain {
		return []byte(marked)
	}
	return text
}

// unescape writes out the escapes of JSON text that need not be, whether the text is
// valid or not: letters and signs of the Basic Multilingual Plane, and the slash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\' || i+1 == len(s):
			b.WriteByte(s[i])
		case s[i+1] == '/':
			b.WriteByte('/')
			i++
		case s[i+1] == 'u' && i+6 <= len(s):
			n, err := strconv.ParseUint(s[i+2:i+6], 16, 16)
			if r := rune(n); err == nil && r >= ' ' && r != '"' && r != '\\' && !utf16.IsSurrogate(r) {
				b.WriteRune(r)
			} else {
				b.WriteString(s[i : i+6])
			}
			i += 5
		default:
			b.WriteString(s[i : i+2])
			i++
		}
	}
	return b.String()
}

// args returns a copy of template variables with all strings marked.
func (g *guard) args(v any) any {
	switch v := v.(type) {
	case string:
		return g.mark(v)
	case []string:
		list := make([]string, len(v))
		for i := range v {
			list[i] = g.mark(v[i])
		}
		return list
	case json.RawMessage:
		return json.RawMessage(g.json(v))
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = g.args(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[g.mark(k)] = g.args(x)
		}
		return m
	}
	return v
}

// encode is the ids of a rendered text.
func (g *guard) encode(tok *tokenizer.Tokenizer, text string) []int32 {
	var ids []int32
	for text != "" {
		before, after, found := strings.Cut(text, g.open)
		ids = append(ids, tok.Encode(g.unmark(before), false)...)
		if !found {
			break
		}
		inside, rest, _ := strings.Cut(after, g.close)
		ids = append(ids, tok.EncodePlain(g.unmark(inside), false)...)
		text = rest
	}
	return ids
}

// unmark takes the marks out of a text, such as a message for people.
func (g *guard) unmark(s string) string { return g.unmarker.Replace(s) }
