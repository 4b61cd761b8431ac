package zmtp

import (
	"crypto/ecdh"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
)

// z85 is the alphabet of ZeroMQ's base-85 encoding (RFC 32).
const z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"

// decodeZ85 turns five characters into four bytes each.
func decodeZ85(s string) ([]byte, error) {
	if len(s)%5 != 0 {
		return nil, fmt.Errorf("Z85 text of %d characters is not a multiple of 5", len(s))
	}
	out := make([]byte, 0, len(s)/5*4)
	for i := 0; i < len(s); i += 5 {
		var v uint64
		for j := range 5 {
			digit := strings.IndexByte(z85, s[i+j])
			if digit < 0 {
				return nil, fmt.Errorf("character %d is not Z85", i+j)
			}
			v = v*85 + uint64(digit)
		}
		if v > math.MaxUint32 {
			return nil, fmt.Errorf("characters %d to %d are beyond 32 bits", i, i+4)
		}
		out = binary.BigEndian.AppendUint32(out, uint32(v))
	}
	return out, nil
}

// publicOf derives a secret key's public key.
func publicOf(secret *[KeySize]byte) ([KeySize]byte, error) {
	var public [KeySize]byte
	k, err := ecdh.X25519().NewPrivateKey(secret[:])
	if err != nil {
		return public, err
	}
	copy(public[:], k.PublicKey().Bytes())
	return public, nil
}
