package session

import "go/types"

func isPrelude(path string) bool { return len(path) > 15 && path[:15] == "godwit/prelude/" }

func (s *Session) prelude(obj *types.Func) *types.Func { return nil }
