// Package openai holds the wire side of the OpenAI-compatible surface: reading request
// bodies into engine requests and writing answers, streams and errors. It does no
// networking, so the HTTP door and the batch door share it.
//
// # Requests
//
// DecodeChat, DecodeCompletion and DecodeGenerate (SGLang's own /generate) read a body
// strictly: duplicate names, bad UTF-8, lone surrogates and trailing data are refused.
// null always means "not given". Every field falls in one of four classes; the tables are
// the variables fields, nativeFields and samplingFields, notes describes them, and
// httpapi/SURFACE.md shows them, tried one by one.
//
//	works       it does what its name says
//	accepted    it describes the caller or hints at speed, and changes no answer
//	refused     fields that OpenAI, SGLang or vLLM define and godwit does not do (suffix,
//	            logits_processors, …): a value that asks for something
//	            is a 400 "not supported" that names the field; a value that asks for
//	            nothing (null, false, an empty string) passes
//	unknown     everything else is a 400 that names the field, as OpenAI answers. A
//	            misspelt field is never half a request.
//
// Ranges are those of SGLang. Where it leaves a range open: n is 1 to 128, prompts × n at
// most 1024, top_logprobs and the completions' logprobs 0 to 20, 64 stop strings of
// 1024 bytes, repetition_penalty at least 1e-6 (smaller ones overflow float32),
// max_tokens at most the context length. Limits holds the rest.
//
// # Thinking and tools
//
// With a reasoning parser, chat answers have the thinking in reasoning_content and its
// tokens, the end marker among them, in usage.reasoning_tokens. separate_reasoning false
// leaves it in the content, markers and all; stream_reasoning false sends it in one
// piece; chat_template_kwargs carries the family's switch, and force_nonempty_content,
// which makes the thinking the content when there is no other. With a tool-call parser,
// and tools in the request, calls are in tool_calls; content is null when there is
// nothing else, finish_reason is tool_calls and matched_stop null. A stream sends id and
// name of a call first, then pieces of its arguments. With parallel_tool_calls false the
// answer ends where a second call begins. Without a parser, or without tools,
// the text stays as the model wrote it. Package engine/chat/parse says how texts are read.
//
// # Answers
//
// The keys, their order and the nulls are SGLang's. Ids are 32 hex characters, or the
// client's rid. text_offset counts code points. A log-probability of minus infinity is
// written as -9999, which JSON can hold.
//
// One request's way: DecodeChat → Call.Start (engine.Generate, parse.Stream) → Encoder.AppendEvent per
// event, or Finish and Call.AppendResponse → bytes for the socket or the result line.
package openai
