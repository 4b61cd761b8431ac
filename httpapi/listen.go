package httpapi

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// longestSocket is the most bytes of a socket's path.
const longestSocket = len(syscall.RawSockaddrUnix{}.Path) - 1

// ListenUnix opens a Unix socket that only this user can connect to. A socket that a dead
// process left behind is replaced; anything else at the path is an error. Closing the
// listener removes the socket.
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > longestSocket {
		return nil, fmt.Errorf("--unix-socket %s: the path has %d bytes, and no client could name a socket of more than %d; choose a shorter one", path, len(path), longestSocket)
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("--unix-socket %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("--unix-socket %s: there is something that is no socket; choose another path", path)
	default:
		if c, err := net.Dial("unix", path); err == nil {
			c.Close()
			return nil, fmt.Errorf("--unix-socket %s: another server answers there; choose another path", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("--unix-socket %s: %w", path, err)
		}
	}
	ln, err := listenPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("--unix-socket %s: %w", path, err)
	}
	return ln, nil
}

// listenPrivate makes the socket inside a folder that nobody else can enter and moves it
// to its place when its mode is set: there is no moment in which others could connect.
func listenPrivate(path string) (net.Listener, error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), ".sock")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	temp := filepath.Join(dir, "s")
	if len(temp) > longestSocket {
		return nil, fmt.Errorf("the folder's path is too long by %d bytes to make a socket in it", len(temp)-longestSocket)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, err
	}
	ln.SetUnlinkOnClose(false)
	if err = os.Chmod(temp, 0o600); err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		ln.Close()
		return nil, err
	}
	return &socket{Listener: ln, path: path}, nil
}

// socket removes its file when it is closed.
type socket struct {
	net.Listener
	path string
	once sync.Once
}

// Close ends the listener.
func (s *socket) Close() error {
	err := s.Listener.Close()
	s.once.Do(func() { os.Remove(s.path) })
	return err
}

// Addr is the address at which clients find it.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// capped lets at most that many connections be open; more wait to be accepted.
func capped(ln net.Listener, most int) net.Listener {
	return &limited{Listener: ln, slots: make(chan struct{}, most), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	slots  chan struct{}
	closed chan struct{}
	once   sync.Once
}

// Accept waits for a free slot first.
func (c *limited) Accept() (net.Conn, error) {
	select {
	case c.slots <- struct{}{}:
	case <-c.closed:
		return nil, net.ErrClosed
	}
	conn, err := c.Listener.Accept()
	if err != nil {
		<-c.slots
		return nil, err
	}
	return &counted{Conn: conn, release: func() { <-c.slots }}, nil
}

// Close ends the listener and an Accept that waits.
func (c *limited) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Listener.Close()
}

// counted gives its slot back when it is closed.
type counted struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close ends the connection.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}
