package kernel

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/godwit-ai/godwit/kernel/zmtp"
)

// connection is the content of a connection file.
type connection struct {
	Transport   string `json:"transport"`
	IP          string `json:"ip"` // of tcp; the path's beginning of ipc
	Shell       int    `json:"shell_port"`
	IOPub       int    `json:"iopub_port"`
	Stdin       int    `json:"stdin_port"`
	Control     int    `json:"control_port"`
	Heartbeat   int    `json:"hb_port"`
	Key         string `json:"key"`
	Scheme      string `json:"signature_scheme"`
	CurvePublic string `json:"curve_publickey"`
	CurveSecret string `json:"curve_secretkey"`

	keys *zmtp.Keys // of CurvePublic and CurveSecret; nil: not encrypted
}

// maxConnectionFile is far above any real one.
const maxConnectionFile = 64 << 10

// readConnection reads and checks a connection file.
func readConnection(path string, allowRemote bool, log *slog.Logger) (connection, error) {
	c, err := parseConnectionFile(path, log)
	if err != nil {
		return connection{}, fmt.Errorf("connection file %s: %w", path, err)
	}
	if err := c.check(allowRemote); err != nil {
		return connection{}, fmt.Errorf("connection file %s: %w", path, err)
	}
	return c, nil
}

func parseConnectionFile(path string, log *slog.Logger) (c connection, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return c, err
	}
	// The key in the file is what admits to the kernel: whoever may write it may run code.
	if perm := info.Mode().Perm(); runtime.GOOS != "windows" {
		if perm&0o022 != 0 {
			return c, fmt.Errorf("others may write it (mode %#o); make it 0600", perm)
		}
		if perm&0o044 != 0 {
			log.Warn("connection file is readable by others, who can therefore run code in this kernel", "path", path, "mode", fmt.Sprintf("%#o", perm))
		}
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxConnectionFile+1))
	if err != nil {
		return c, err
	}
	if len(raw) > maxConnectionFile {
		return c, fmt.Errorf("larger than %d bytes", maxConnectionFile)
	}
	return c, json.Unmarshal(raw, &c)
}

func (c *connection) check(allowRemote bool) error {
	if c.Transport == "" {
		c.Transport = "tcp"
	}
	if c.Transport != "tcp" && c.Transport != "ipc" {
		return fmt.Errorf("transport %q is not tcp or ipc", c.Transport)
	}
	if c.Scheme != "" && c.Scheme != "hmac-sha256" {
		return fmt.Errorf("signature_scheme %q is not hmac-sha256", c.Scheme)
	}
	if err := c.checkPorts(); err != nil {
		return err
	}
	if err := c.readKeys(); err != nil {
		return err
	}
	if c.Transport == "ipc" {
		if c.IP == "" {
			return errors.New("ip is empty: for ipc it is the path's beginning")
		}
		return nil
	}
	if c.Key == "" {
		return errors.New("key is empty: anybody on this machine could run code; refused with transport tcp")
	}
	if !isLoopback(c.IP) && c.keys == nil && !allowRemote {
		return fmt.Errorf("ip %q is not loopback and the connection is not encrypted: use CURVE keys, or allow it explicitly", c.IP)
	}
	return nil
}

func (c *connection) checkPorts() error {
	seen := map[int]string{}
	for _, p := range []struct {
		name string
		port int
	}{{"shell_port", c.Shell}, {"iopub_port", c.IOPub}, {"stdin_port", c.Stdin}, {"control_port", c.Control}, {"hb_port", c.Heartbeat}} {
		if p.port < 1 || p.port > 65535 {
			return fmt.Errorf("%s is %d, not a port", p.name, p.port)
		}
		if other, ok := seen[p.port]; ok {
			return fmt.Errorf("%s and %s are both %d", other, p.name, p.port)
		}
		seen[p.port] = p.name
	}
	return nil
}

func (c *connection) readKeys() error {
	if c.CurvePublic == "" && c.CurveSecret == "" {
		return nil
	}
	keys, err := zmtp.ParseKeys(c.CurvePublic, c.CurveSecret)
	c.keys = keys
	return err
}

// isLoopback tells whether only this machine reaches the address. A name other than
// localhost is not asked from a resolver, which could be wrong tomorrow.
func isLoopback(ip string) bool {
	if ip == "localhost" {
		return true
	}
	parsed := net.ParseIP(ip)
	return parsed != nil && parsed.IsLoopback()
}

// address returns what to bind for a port.
func (c *connection) address(port int) string {
	if c.Transport == "ipc" {
		return c.IP + "-" + strconv.Itoa(port)
	}
	host := c.IP
	if host == "*" {
		host = ""
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}
