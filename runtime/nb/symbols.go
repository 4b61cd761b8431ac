package nb

import (
	"reflect"

	"github.com/godwit-ai/godwit/runtime/display"
	"github.com/godwit-ai/godwit/viz"
)

// Path is the import path under which cells see this package.
const Path = "github.com/godwit-ai/godwit/runtime/nb"

// Symbols is the table that an interpreter needs to offer this Env's functions and
// types: names as Go spells them and as the tutorial does.
func (e *Env) Symbols() map[string]map[string]reflect.Value {
	fn := map[string]any{
		"LaunchServer": e.LaunchServer, "LaunchServerCmd": e.LaunchServerCmd, "WaitForServer": e.WaitForServer,
		"TerminateProcess": e.TerminateProcess, "ExecuteShellCommand": e.ExecuteShellCommand, "Servers": e.Servers,
		"Generate": e.Generate, "GenerateAll": e.GenerateAll, "GenerateStream": e.GenerateStream,
		"GenerateInto": e.GenerateInto, "Choose": e.Choose, "Regex": e.Regex, "Grammar": e.Grammar, "SchemaOf": e.SchemaOf,
		"LoadAdapter": e.LoadAdapter, "UnloadAdapter": e.UnloadAdapter, "Adapter": Adapter, "Think": Think, "Stop": Stop, "Bias": Bias, "Tokenize": e.Tokenize, "Detokenize": e.Detokenize,
		"Chat": e.Chat, "ChatStream": e.ChatStream, "RunBatch": e.RunBatch, "OpenAI": e.OpenAI,
		"Display": e.Display, "DisplayAs": e.DisplayAs, "UpdateDisplay": e.UpdateDisplay,
		"DisplayHTML": e.DisplayHTML, "DisplayMarkdown": e.DisplayMarkdown, "DisplaySVG": e.DisplaySVG,
		"DisplayPNG": e.DisplayPNG, "DisplayJPEG": e.DisplayJPEG, "ClearOutput": e.ClearOutput,
		"ThroughputChart": viz.Throughput, "LatencyChart": viz.Latency, "LogprobChart": viz.Logprobs,
		"PrintHighlight": e.PrintHighlight, "Input": e.Input, "Password": e.Password,
		"NewProgress": e.NewProgress, "Steps": e.Steps,

		"launch_server": e.LaunchServer, "launch_server_cmd": e.LaunchServerCmd, "wait_for_server": e.WaitForServer,
		"terminate_process": e.TerminateProcess, "execute_shell_command": e.ExecuteShellCommand,
		"print_highlight": e.PrintHighlight, "generate": e.Generate, "generate_all": e.GenerateAll,
		"generate_stream": e.GenerateStream, "run_batch": e.RunBatch,
		"load_lora_adapter": e.LoadAdapter, "unload_lora_adapter": e.UnloadAdapter,
	}
	table := map[string]reflect.Value{}
	for name, f := range fn {
		table[name] = reflect.ValueOf(f)
	}
	for _, t := range []any{
		(*Process)(nil), (*ServerOptions)(nil), (*GenerateOptions)(nil), (*Token)(nil), (*Answer)(nil), (*Message)(nil),
		(*Messages)(nil), (*Params)(nil), (*Client)(nil), (*Completion)(nil), (*Choice)(nil), (*ResponseMessage)(nil), (*ToolCall)(nil), (*FunctionCall)(nil),
		(*Usage)(nil), (*Progress)(nil), (*ModelCard)(nil), (*APIError)(nil), (*BatchOptions)(nil), (*BatchResult)(nil), (*Failure)(nil),
		(*HTML)(nil), (*Markdown)(nil), (*Latex)(nil), (*SVG)(nil), (*JavaScript)(nil), (*PNG)(nil), (*JPEG)(nil),
		(*viz.Finished)(nil), (*viz.Logprob)(nil), // what the charts draw
	} {
		v := reflect.ValueOf(t) // a nil pointer to the type is how the interpreter takes types
		table[v.Type().Elem().Name()] = v
	}
	all := map[string]map[string]reflect.Value{Path + "/nb": table}
	shows := e.maker.Symbols(fail)
	for path, name := range display.Paths {
		all[path+"/"+name] = shows
	}
	return all
}
