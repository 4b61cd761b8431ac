package driver

// StandIn is a driver without a GPU behind it, for tests: answer gets each call's name
// and arguments and returns its CUresult, 0 for success.
func StandIn(answer func(call string, args []uintptr) int) (*Library, error) {
	l := &Library{fake: func(s symbol, args []uintptr) int { return answer(s.String(), args) }}
	return l, l.start()
}
