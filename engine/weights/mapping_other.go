//go:build !unix

package weights

import (
	"io"
	"os"
)

// mapFile reads the file: there is no portable mapping here.
func mapFile(f *os.File, size int) ([]byte, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return data, err
}

func unmapFile([]byte) error { return nil }
