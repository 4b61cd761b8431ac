package weights

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/godwit-ai/godwit/engine/quant"
)

// KV is a metadata entry for WriteGGUF. Value is a bool, a string, a number of Go
// type uint8 … int64, float32 or float64 (int is written as int64), or a slice of
// string, int32, uint32, int64, float32, float64 or bool.
type KV struct {
	Key   string
	Value any
}

// WriteGGUF writes a GGUF file of version 3: metadata in the given order, then the
// tensors, aligned as general.alignment says, 32 bytes by default. Tensor names are
// written as they are: see GGUFName.
func WriteGGUF(w io.Writer, meta []KV, tensors []quant.Tensor) error {
	alignment, err := writeAlignment(meta)
	if err != nil {
		return err
	}
	head := binary.LittleEndian.AppendUint32([]byte(ggufMagic), 3)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(tensors)))
	head = binary.LittleEndian.AppendUint64(head, uint64(len(meta)))
	for _, kv := range meta {
		head = appendText(head, kv.Key)
		if head, err = appendValue(head, kv.Value); err != nil {
			return fmt.Errorf("key %q: %w", kv.Key, err)
		}
	}
	offset := 0
	for _, t := range tensors {
		if err := t.Check(); err != nil {
			return err
		}
		if head, err = appendTensorEntry(head, t, offset); err != nil {
			return err
		}
		offset = alignUp(offset+len(t.Data), alignment)
	}
	out := bufio.NewWriter(w)
	writePadded(out, head, alignment)
	for _, t := range tensors {
		writePadded(out, t.Data, alignment)
	}
	return out.Flush()
}

func alignUp(n, alignment int) int { return (n + alignment - 1) &^ (alignment - 1) }

// writePadded leaves errors to Flush.
func writePadded(w *bufio.Writer, p []byte, alignment int) {
	w.Write(p)
	for range alignUp(len(p), alignment) - len(p) {
		w.WriteByte(0)
	}
}

func writeAlignment(meta []KV) (int, error) {
	for _, kv := range meta {
		if kv.Key != "general.alignment" {
			continue
		}
		n, ok := kv.Value.(uint32)
		if !ok || n == 0 || n > maxAlignment || n&(n-1) != 0 {
			return 0, fmt.Errorf("general.alignment %v must be a uint32 power of two", kv.Value)
		}
		return int(n), nil
	}
	return 32, nil
}

func appendText(p []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(p, uint64(len(s))), s...)
}

func appendTensorEntry(p []byte, t quant.Tensor, offset int) ([]byte, error) {
	if len(t.Shape) == 0 || len(t.Shape) > maxDims {
		return nil, fmt.Errorf("tensor %q: %d dimensions, must be 1 to %d", t.Name, len(t.Shape), maxDims)
	}
	p = appendText(p, t.Name)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(t.Shape)))
	for i := range t.Shape {
		p = binary.LittleEndian.AppendUint64(p, uint64(t.Shape[len(t.Shape)-1-i]))
	}
	for number, typ := range ggufTypes {
		if typ == t.Type {
			p = binary.LittleEndian.AppendUint32(p, number)
		}
	}
	return binary.LittleEndian.AppendUint64(p, uint64(offset)), nil
}

// appendValue writes type and content.
func appendValue(p []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case []string:
		return appendArray(p, kindString, v, appendText), nil
	case []int32:
		return appendArray(p, kindI32, v, appendNumber), nil
	case []uint32:
		return appendArray(p, kindU32, v, appendNumber), nil
	case []int64:
		return appendArray(p, kindI64, v, appendNumber), nil
	case []float32:
		return appendArray(p, kindF32, v, appendNumber), nil
	case []float64:
		return appendArray(p, kindF64, v, appendNumber), nil
	case []bool:
		return appendArray(p, kindBool, v, appendNumber), nil
	}
	le := binary.LittleEndian
	scalar := func(k kind) []byte { return le.AppendUint32(p, uint32(k)) }
	switch v := v.(type) {
	case string:
		return appendText(scalar(kindString), v), nil
	case bool:
		return appendNumber(scalar(kindBool), v), nil
	case uint8:
		return append(scalar(kindU8), v), nil
	case int8:
		return append(scalar(kindI8), byte(v)), nil
	case uint16:
		return le.AppendUint16(scalar(kindU16), v), nil
	case int16:
		return le.AppendUint16(scalar(kindI16), uint16(v)), nil
	case uint32:
		return le.AppendUint32(scalar(kindU32), v), nil
	case int32:
		return le.AppendUint32(scalar(kindI32), uint32(v)), nil
	case uint64:
		return le.AppendUint64(scalar(kindU64), v), nil
	case int64:
		return le.AppendUint64(scalar(kindI64), uint64(v)), nil
	case int:
		return le.AppendUint64(scalar(kindI64), uint64(v)), nil
	case float32:
		return appendNumber(scalar(kindF32), v), nil
	case float64:
		return appendNumber(scalar(kindF64), v), nil
	}
	return nil, fmt.Errorf("a value of type %T cannot be written", v)
}

func appendArray[T any](p []byte, k kind, list []T, one func([]byte, T) []byte) []byte {
	p = binary.LittleEndian.AppendUint32(p, uint32(kindArray))
	p = binary.LittleEndian.AppendUint32(p, uint32(k))
	p = binary.LittleEndian.AppendUint64(p, uint64(len(list)))
	for _, v := range list {
		p = one(p, v)
	}
	return p
}

func appendNumber[T int32 | uint32 | int64 | float32 | float64 | bool](p []byte, v T) []byte {
	le := binary.LittleEndian
	switch v := any(v).(type) {
	case int32:
		return le.AppendUint32(p, uint32(v))
	case uint32:
		return le.AppendUint32(p, v)
	case int64:
		return le.AppendUint64(p, uint64(v))
	case float32:
		return le.AppendUint32(p, math.Float32bits(v))
	case float64:
		return le.AppendUint64(p, math.Float64bits(v))
	case bool:
		if v {
			return append(p, 1)
		}
	}
	return append(p, 0)
}

// WriteSafetensors writes one safetensors file with F32, F16 and BF16 tensors in the
// given order; names must be unique.
func WriteSafetensors(w io.Writer, tensors []quant.Tensor) error {
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	entries := make(map[string]entry, len(tensors))
	offset := 0
	for _, t := range tensors {
		if err := t.Check(); err != nil {
			return err
		}
		if d := dtypes[t.Type.String()]; d.typ != t.Type {
			return fmt.Errorf("tensor %q: %s cannot be written as safetensors", t.Name, t.Type)
		}
		if _, ok := entries[t.Name]; ok || t.Name == "__metadata__" {
			return fmt.Errorf("tensor %q: the name is taken", t.Name)
		}
		entries[t.Name] = entry{t.Type.String(), append([]int{}, t.Shape...), [2]int{offset, offset + len(t.Data)}}
		offset += len(t.Data)
	}
	header, err := json.Marshal(entries, json.Deterministic(true), jsontext.EscapeForHTML(false))
	if err != nil {
		return err
	}
	for len(header)%8 != 0 {
		header = append(header, ' ')
	}
	out := bufio.NewWriter(w)
	out.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(header))))
	out.Write(header)
	for _, t := range tensors {
		out.Write(t.Data)
	}
	return out.Flush()
}
