//go:build !linux

package bench

import "errors"

func residentBytes() int64 { return 0 }

func dropCache(string) error {
	return errors.New("this system cannot be asked to forget a file's pages")
}
