package openai

import (
	"github.com/go-json-experiment/json/jsontext"
	"github.com/godwit-ai/godwit/engine/chat/parse"
)

// SeparateReasoning answers a /separate_reasoning body, {text, reasoning_parser}, with
// {reasoning_text, text}. Without a name, or with "auto", the default model's parser is
// taken.
func SeparateReasoning(body []byte, opt Options) ([]byte, error) {
	text, name, err := parseBody(body, "reasoning_parser", func(string, jsontext.Value) error { return nil })
	if err != nil {
		return nil, err
	}
	if name, err = parserName(name, "reasoning_parser", defaultParsers(opt).reasoning, parse.CheckReasoning); err != nil {
		return nil, err
	}
	reasoning, content := parse.Separate(name, text)
	dst := append([]byte(nil), `{"reasoning_text":`...)
	dst = appendString(dst, reasoning)
	dst = append(dst, `,"text":`...)
	dst = appendString(dst, content)
	return append(dst, '}'), nil
}

// ParseFunctionCall answers a /parse_function_call body, {text, tools,
// tool_call_parser}, with {normal_text, calls}; a call is {tool_index, name,
// parameters}, the last JSON as a string.
func ParseFunctionCall(body []byte, opt Options) ([]byte, error) {
	r := &request{lim: opt.Limits.filled()}
	given := false
	text, name, err := parseBody(body, "tool_call_parser", func(key string, v jsontext.Value) error {
		given = true
		return readTools(r, key, v)
	})
	if err != nil {
		return nil, err
	}
	if !given {
		return nil, newError(CodeMissing, "tools", "tools is missing")
	}
	if name, err = parserName(name, "tool_call_parser", defaultParsers(opt).calls, parse.CheckToolCalls); err != nil {
		return nil, err
	}
	content, calls := parse.Calls(name, text, r.tools)
	dst := append([]byte(nil), `{"normal_text":`...)
	dst = appendString(dst, content)
	dst = append(dst, `,"calls":[`...)
	for i, c := range calls {
		dst = append(comma(dst, i), `{"tool_index":`...)
		dst = appendInt(dst, i)
		dst = append(dst, `,"name":`...)
		dst = appendString(dst, c.Name)
		dst = append(dst, `,"parameters":`...)
		dst = appendString(dst, c.Arguments)
		dst = append(dst, '}')
	}
	return append(dst, `]}`...), nil
}

// parseBody reads text and the name of a parser; tools go to their own reader.
func parseBody(body []byte, nameKey string, tools func(string, jsontext.Value) error) (text, name string, err error) {
	if err := checkSyntax(body); err != nil {
		return "", "", err
	}
	given := false
	err = object(body, "", func(key string, v jsontext.Value) (err error) {
		switch {
		case key == "text":
			given = true
			text, err = stringOf(v, key)
		case key == nameKey:
			name, err = stringOf(v, key)
		case key == "tools" && nameKey == "tool_call_parser":
			err = tools(key, v)
		default:
			err = unknownField(key)
		}
		return err
	})
	if err == nil && !given {
		err = newError(CodeMissing, "text", "text is missing")
	}
	return text, name, err
}

type parserNames struct{ reasoning, calls string }

func defaultParsers(opt Options) parserNames {
	if len(opt.Models) == 0 {
		return parserNames{}
	}
	return parserNames{opt.Models[0].ReasoningParser, opt.Models[0].ToolCallParser}
}

func parserName(name, key, own string, check func(string) error) (string, error) {
	if name == "" || name == parse.Auto {
		name = own
	}
	if name == "" {
		return "", newError(CodeMissing, key, "%s is missing, and the server was started without one", key)
	}
	if err := check(name); err != nil {
		return "", invalid(key, "%s", clip(err.Error(), 600))
	}
	return name, nil
}
