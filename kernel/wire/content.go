package wire

import "github.com/go-json-experiment/json/jsontext"

// ExecuteRequest asks to run code. Absent flags have the protocol's defaults, which
// the methods below apply.
type ExecuteRequest struct {
	Code            string            `json:"code"`
	Silent          bool              `json:"silent"`
	StoreHistory    *bool             `json:"store_history"`
	UserExpressions map[string]string `json:"user_expressions"`
	AllowStdin      *bool             `json:"allow_stdin"`
	StopOnError     *bool             `json:"stop_on_error"`
}

// Stores reports whether the cell is counted and kept in the history.
func (r *ExecuteRequest) Stores() bool { return !r.Silent && orTrue(r.StoreHistory) }

// Stdin reports whether the front end can answer input requests.
func (r *ExecuteRequest) Stdin() bool { return orTrue(r.AllowStdin) }

// Stops reports whether a failure aborts the requests behind this one.
func (r *ExecuteRequest) Stops() bool { return orTrue(r.StopOnError) }

func orTrue(b *bool) bool { return b == nil || *b }

// CodeRequest is the content of complete_request, inspect_request and
// is_complete_request. Positions count code points.
type CodeRequest struct {
	Code        string `json:"code"`
	CursorPos   *int   `json:"cursor_pos"`
	DetailLevel int    `json:"detail_level"`
}

// Cursor returns the position inside the code; absent means its end.
func (r *CodeRequest) Cursor() int {
	n := 0
	for range r.Code {
		n++
	}
	if r.CursorPos == nil || *r.CursorPos > n {
		return n
	}
	return max(*r.CursorPos, 0)
}

// HistoryRequest asks for earlier input.
type HistoryRequest struct {
	Output  bool   `json:"output"`
	Raw     bool   `json:"raw"`
	Access  string `json:"hist_access_type"` // range, tail, search
	Session int    `json:"session"`
	Start   int    `json:"start"`
	Stop    *int   `json:"stop"`
	N       *int   `json:"n"`
	Pattern string `json:"pattern"`
	Unique  bool   `json:"unique"`
}

// ShutdownRequest and its reply have the same content; Status is the reply's.
type ShutdownRequest struct {
	Status  string `json:"status,omitzero"`
	Restart bool   `json:"restart"`
}

// InputReply carries what the user typed.
type InputReply struct {
	Value string `json:"value"`
}

// Comm is the content of comm_open, comm_msg and comm_close.
type Comm struct {
	ID     string         `json:"comm_id"`
	Target string         `json:"target_name,omitzero"`
	Data   jsontext.Value `json:"data,omitzero"`
}

// CommInfoRequest asks for the open comms of a target, or of all.
type CommInfoRequest struct {
	Target string `json:"target_name"`
}

// Status is the content of a status message.
type Status struct {
	State string `json:"execution_state"` // busy, idle, starting
}

// Stream is a piece of text output.
type Stream struct {
	Name string `json:"name"` // stdout, stderr
	Text string `json:"text"`
}

// ExecuteInput repeats the code that runs.
type ExecuteInput struct {
	Code  string `json:"code"`
	Count int    `json:"execution_count"`
}

// Display is the content of display_data, update_display_data and execute_result,
// which alone has Count.
type Display struct {
	Data      map[string]any `json:"data"`
	Metadata  map[string]any `json:"metadata"`
	Transient *Transient     `json:"transient,omitzero"`
	Count     *int           `json:"execution_count,omitzero"`
}

// Transient is data of a display that is not stored in notebooks.
type Transient struct {
	DisplayID string `json:"display_id,omitzero"`
}

// ClearOutput removes a cell's output, at once or when new output comes.
type ClearOutput struct {
	Wait bool `json:"wait"`
}

// InputRequest asks the front end for a line of text.
type InputRequest struct {
	Prompt   string `json:"prompt"`
	Password bool   `json:"password"`
}

// Error describes a failure, on iopub as it is and in replies with a status.
type Error struct {
	Status    string   `json:"status,omitzero"`
	Name      string   `json:"ename"`
	Value     string   `json:"evalue"`
	Traceback []string `json:"traceback"`
}

// ExecuteReply ends an execution. The error fields are present when it failed.
type ExecuteReply struct {
	Status          string         `json:"status"` // ok, error, aborted
	Count           int            `json:"execution_count"`
	UserExpressions map[string]any `json:"user_expressions"`
	Payload         []any          `json:"payload"`
	Name            string         `json:"ename,omitzero"`
	Value           *string        `json:"evalue,omitzero"`
	Traceback       *[]string      `json:"traceback,omitzero"`
}

// NextInput is a payload that puts a text into the cell, or into a new one below it.
type NextInput struct {
	Source  string `json:"source"` // set_next_input
	Text    string `json:"text"`
	Replace bool   `json:"replace"`
}

// Page is a payload that front ends show in a pager, or below the cell.
type Page struct {
	Source string         `json:"source"` // page
	Data   map[string]any `json:"data"`
	Start  int            `json:"start"` // line to begin with
}

// CompleteReply lists completions. Types and signatures travel in the metadata.
type CompleteReply struct {
	Status   string         `json:"status"`
	Matches  []string       `json:"matches"`
	Start    int            `json:"cursor_start"`
	End      int            `json:"cursor_end"`
	Metadata map[string]any `json:"metadata"`
}

// CompletionType is an element of _jupyter_types_experimental.
type CompletionType struct {
	Text      string `json:"text"`
	Type      string `json:"type"`
	Signature string `json:"signature,omitzero"`
	Start     int    `json:"start"`
	End       int    `json:"end"`
}

// InspectReply describes a name.
type InspectReply struct {
	Status   string         `json:"status"`
	Found    bool           `json:"found"`
	Data     map[string]any `json:"data"`
	Metadata map[string]any `json:"metadata"`
}

// IsCompleteReply tells a console whether code is ready to run.
type IsCompleteReply struct {
	Status string  `json:"status"` // complete, incomplete, invalid, unknown
	Indent *string `json:"indent,omitzero"`
}

// HistoryReply has entries (session, line, input) or (session, line, (input,
// output)).
type HistoryReply struct {
	Status  string  `json:"status"`
	History [][]any `json:"history"`
}

// CommInfoReply lists open comms.
type CommInfoReply struct {
	Status string         `json:"status"`
	Comms  map[string]any `json:"comms"`
}

// KernelInfoReply describes the kernel.
type KernelInfoReply struct {
	Status                string       `json:"status"`
	ProtocolVersion       string       `json:"protocol_version"`
	Implementation        string       `json:"implementation"`
	ImplementationVersion string       `json:"implementation_version"`
	LanguageInfo          LanguageInfo `json:"language_info"`
	Banner                string       `json:"banner"`
	Debugger              bool         `json:"debugger"`
	HelpLinks             []HelpLink   `json:"help_links"`
	SupportedFeatures     []string     `json:"supported_features"`
}

// LanguageInfo tells front ends how to treat the code.
type LanguageInfo struct {
	Name              string `json:"name"`
	Version           string `json:"version"`
	MIMEType          string `json:"mimetype"`
	FileExtension     string `json:"file_extension"`
	PygmentsLexer     string `json:"pygments_lexer"`
	CodeMirrorMode    string `json:"codemirror_mode"`
	NBConvertExporter string `json:"nbconvert_exporter"`
}

// HelpLink is an entry of the front end's help menu.
type HelpLink struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

// Welcome is the content of iopub_welcome.
type Welcome struct {
	Subscription string `json:"subscription"`
}

// DebugReply refuses a request of the Debug Adapter Protocol.
type DebugReply struct {
	Type       string `json:"type"`
	RequestSeq int    `json:"request_seq"`
	Success    bool   `json:"success"`
	Command    string `json:"command"`
	Message    string `json:"message"`
}
