package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"

	"github.com/godwit-ai/godwit/engine/op"
	"github.com/godwit-ai/godwit/engine/quant"
	"github.com/godwit-ai/godwit/engine/weights"
)

// writeSafetensors writes random tensors one after the other: matrices of type typ,
// vectors as F32, as weights.Dummy makes them.
func writeSafetensors(ctx context.Context, path string, list []op.WeightInfo, typ quant.Type, names map[quant.Type]string) (err error) {
	type entry struct {
		Type    string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header := map[string]entry{}
	shapes := map[string][]int{}
	at := 0
	for _, w := range list {
		t := typ
		if len(w.Shape) < 2 {
			t = quant.F32
		}
		size, err := t.Size(w.Shape)
		if err != nil {
			return err
		}
		shapes[w.Name] = w.Shape
		header[w.Name] = entry{names[t], w.Shape, [2]int{at, at + size}}
		at += size
	}
	text, err := json.Marshal(header)
	if err != nil {
		return err
	}
	for len(text)%8 != 0 {
		text = append(text, ' ')
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := out.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)); err != nil {
		return err
	}
	d := weights.NewDummy(nil, func(name string) ([]int, bool) { s, ok := shapes[name]; return s, ok }, typ, 1)
	for _, w := range list {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		t, err := d.Tensor(w.Name)
		if err != nil {
			return err
		}
		if _, err := out.Write(t.Data); err != nil {
			return err
		}
	}
	return out.Flush()
}
