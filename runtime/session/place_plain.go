//go:build !race || !unix

package session

func newPlaceCell() *int { return new(int) }
