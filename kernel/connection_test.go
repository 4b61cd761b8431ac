package kernel

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestConnectionFilesThatAreRefused(t *testing.T) {
	fine := `{"transport":"tcp","ip":"127.0.0.1","shell_port":1001,"iopub_port":1002,"stdin_port":1003,"control_port":1004,"hb_port":1005,"key":"k","signature_scheme":"hmac-sha256","kernel_name":"x"}`
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		want string // part of the error; "" means accepted
	}{
		"a good one":             {fine, 0o600, ""},
		"readable by others":     {fine, 0o644, ""},
		"writable by others":     {fine, 0o602, "others may write"},
		"writable by the group":  {fine, 0o620, "others may write"},
		"no JSON":                {"{", 0o600, "unexpected EOF"},
		"empty key on tcp":       {strings.Replace(fine, `"k"`, `""`, 1), 0o600, "key is empty"},
		"no key on tcp":          {strings.Replace(fine, `"key":"k",`, ``, 1), 0o600, "key is empty"},
		"any address":            {strings.Replace(fine, `127.0.0.1`, `0.0.0.0`, 1), 0o600, "not loopback"},
		"star":                   {strings.Replace(fine, `127.0.0.1`, `*`, 1), 0o600, "not loopback"},
		"no address":             {strings.Replace(fine, `127.0.0.1`, ``, 1), 0o600, "not loopback"},
		"a name":                 {strings.Replace(fine, `127.0.0.1`, `example.org`, 1), 0o600, "not loopback"},
		"localhost":              {strings.Replace(fine, `127.0.0.1`, `localhost`, 1), 0o600, ""},
		"loopback of IPv6":       {strings.Replace(fine, `127.0.0.1`, `::1`, 1), 0o600, ""},
		"another scheme":         {strings.Replace(fine, `hmac-sha256`, `hmac-md5`, 1), 0o600, "signature_scheme"},
		"another transport":      {strings.Replace(fine, `"tcp"`, `"udp"`, 1), 0o600, "transport"},
		"a port of zero":         {strings.Replace(fine, `1003`, `0`, 1), 0o600, "stdin_port is 0"},
		"a port too large":       {strings.Replace(fine, `1003`, `70000`, 1), 0o600, "stdin_port is 70000"},
		"a port that is text":    {strings.Replace(fine, `1003`, `"1003"`, 1), 0o600, "stdin_port"},
		"one port twice":         {strings.Replace(fine, `1003`, `1001`, 1), 0o600, "both 1001"},
		"half a CURVE key":       {strings.Replace(fine, `"key"`, `"curve_publickey":"abc","key"`, 1), 0o600, "CURVE"},
		"ipc without a path":     {strings.Replace(strings.Replace(fine, `"tcp"`, `"ipc"`, 1), "127.0.0.1", "", 1), 0o600, "ip is empty"},
		"ipc without a key":      {strings.Replace(strings.Replace(fine, `"tcp"`, `"ipc"`, 1), `"k"`, `""`, 1), 0o600, ""},
		"far too large":          {fine + strings.Repeat(" ", maxConnectionFile), 0o600, "larger than"},
		"the same key two times": {strings.Replace(fine, `"key":"k"`, `"key":"k","key":"l"`, 1), 0o600, "duplicate"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "c.json")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			opts := Options{Logger: discard()}
			_, err := readConnection(path, false, opts.Logger)
			if c.want == "" && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path)) {
				t.Fatalf("error %v lacks %q or the path", err, c.want)
			}
		})
	}
}

func TestRemoteAddressNeedsItsFlag(t *testing.T) {
	c := connection{Transport: "tcp", IP: "192.0.2.1", Shell: 1, IOPub: 2, Stdin: 3, Control: 4, Heartbeat: 5, Key: "k"}
	path := writeConnection(t, c)
	if _, err := readConnection(path, false, discard()); err == nil {
		t.Error("accepted without the flag")
	}
	if _, err := readConnection(path, true, discard()); err != nil {
		t.Errorf("refused with the flag: %v", err)
	}
}

func TestRunRefusesToStartAndClosesTheSession(t *testing.T) {
	f := &fake{}
	err := Run(context.Background(), Options{ConnectionFile: filepath.Join(t.TempDir(), "none.json"), Session: f})
	if err == nil || !strings.Contains(err.Error(), "none.json") || !f.closed {
		t.Errorf("%v, closed %v", err, f.closed)
	}
	if err := Run(context.Background(), Options{}); err == nil {
		t.Error("ran without a session")
	}
}

func FuzzConnection(f *testing.F) {
	f.Add([]byte(`{"transport":"tcp","ip":"127.0.0.1","shell_port":1001,"iopub_port":1002,"stdin_port":1003,"control_port":1004,"hb_port":1005,"key":"k"}`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(dir, "c.json")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := readConnection(path, false, discard())
		if err == nil && c.Transport == "tcp" && (c.Key == "" || !isLoopback(c.IP) && c.keys == nil) {
			t.Fatalf("accepted %q", text)
		}
	})
}
