//go:build !amd64

package session

import (
	"go/types"
	"reflect"
)

// Elsewhere values of cells' types are boxed: see realtype.go.

type describer struct{}

func undescribed(any) (boxed, bool) { return boxed{}, false }

func (t *rtype) describe(any) (any, bool) { return nil, false }

func (tt *typeTable) describedType(types.Type) reflect.Type { return nil }

func describedCell(reflect.Type) types.Type { return nil }

func (t *rtype) description() *struct{} { return nil }
