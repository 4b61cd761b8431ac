//go:build amd64 || arm64

package session

// stackUsed is how many bytes of its stack the calling goroutine uses.
func stackUsed() uintptr

// goroutine tells goroutines that are alive apart; it is not 0.
func goroutine() uintptr

// panicking is the argument of the panic that the calling deferred function runs for,
// also when it was recovered already; nil if there is none.
func panicking() any
