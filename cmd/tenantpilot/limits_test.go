package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestSlowAndLargeHeadersAreCutOff sends to the running demo what keeps a connection busy: a head that does not end, and one that is too large.
// The console answers others meanwhile.
func TestSlowAndLargeHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	f := runningDemo(t)
	address, err := url.Parse(f.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", address.Host)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	slow := dial()
	if _, err := io.WriteString(slow, "GET /admin/operations HTTP/1.1\r\nHost: x\r\nX-Slow: "); err != nil {
		t.Fatal(err)
	}
	began := time.Now()

	large := dial()
	go func() {
		_, _ = io.WriteString(large, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("a", 64<<10)+"\r\n\r\n")
	}()
	if res, err := http.ReadResponse(bufio.NewReader(large), nil); err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a head of 64 KiB: %v %v, want 431", res, err)
	}
	if res, err := http.Get(f.BaseURL + "/livez"); err != nil || res.StatusCode != http.StatusOK { //nolint:noctx // a probe of the test's own server
		t.Errorf("others meanwhile: %v %v", res, err)
	} else {
		_ = res.Body.Close()
	}

	rest, err := io.ReadAll(slow)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("a head that does not end keeps its connection for %s", time.Since(began))
	}
	if took := time.Since(began); took < 3*time.Second || took > 15*time.Second {
		t.Errorf("a head that does not end is cut off after %s, want about 5 s; it said %q", took, rest)
	}
}

// TestASlowBodyIsCutOff: a form that is announced and does not come keeps its connection for as long as a request may take, and no longer.
func TestASlowBodyIsCutOff(t *testing.T) {
	t.Parallel()
	f := runningDemo(t)
	address, err := url.Parse(f.BaseURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/sign-in/no-such-link", "/admin/operations/bulk"} { // one reads the form, the other asks to sign in
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", address.Host)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if err := conn.SetDeadline(time.Now().Add(60 * time.Second)); err != nil {
				t.Fatal(err)
			}
			head := "POST " + path + " HTTP/1.1\r\nHost: " + address.Host + "\r\nOrigin: " + f.BaseURL +
				"\r\nAccept: text/html\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nnext="
			began := time.Now()
			if _, err := io.WriteString(conn, head); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(conn)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				t.Errorf("it keeps its connection for %s", time.Since(began))
			}
			if took := time.Since(began); took > 40*time.Second || strings.Contains(string(rest), "HTTP/1.1 2") {
				t.Errorf("it is cut off after %s, want about 15 s; it said %.300s", took, rest)
			}
		})
	}
}
