package httpapi

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// Listen opens a TCP listener. host "" means 127.0.0.1 and port 0 picks a free one. An
// error says which option of the process to change.
func Listen(host string, port int) (net.Listener, error) {
	if port < 0 || port > 65535 {
		return nil, fmt.Errorf("--port %d is no port; give a number from 0 to 65535 (0 picks a free one)", port)
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if host == "" {
		host = "127.0.0.1"
	}
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	ln, err := net.Listen("tcp", addr)
	switch {
	case err == nil:
		return ln, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d on %s is already in use; choose another with --port, or --port 0 to pick a free one: %w", port, host, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("%s is no address of this machine; change --host: %w", host, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %d needs more rights than this process has; choose a --port above 1023: %w", port, err)
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return nil, fmt.Errorf("%q is no host name that can be resolved; change --host: %w", host, err)
	}
	return nil, fmt.Errorf("listen on %s (--host, --port): %w", addr, err)
}
