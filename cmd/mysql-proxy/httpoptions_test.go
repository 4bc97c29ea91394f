package main

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"mysqlproxy/engine/enginetest"
)

func TestHTTPAddress(t *testing.T) {
	for _, tc := range []struct{ given, want, says string }{
		{given: "", want: ""},
		{given: "9104", want: "127.0.0.1:9104"},
		{given: ":9104", want: "127.0.0.1:9104"},
		{given: " :9104 ", want: "127.0.0.1:9104"},
		{given: "127.0.0.1:9104", want: "127.0.0.1:9104"},
		{given: "0.0.0.0:9104", want: "0.0.0.0:9104"},
		{given: "[::1]:9104", want: "[::1]:9104"},
		{given: "[::]:9104", want: "[::]:9104"},
		{given: "10.0.0.1", says: "it has no port"},
		{given: "::1", says: "an IPv6 address needs brackets"},
		{given: "99104", says: "the port \"99104\" is not a number from 0 to 65535"},
		{given: "x:y", says: "the port \"y\" is not a number"},
		{given: "/run/http.sock", says: "HTTP is not answered at unix sockets"},
		{given: "https://10.0.0.1:9104", says: "--http-address: address \"https://"},
	} {
		s := defaultSettings()
		s.HTTPAddress = tc.given
		addr, ok, err := s.httpAddr()
		got := ""
		if ok {
			got = addr.String()
		}
		if got != tc.want || (tc.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%q: %q, %v; want %q, %q", tc.given, got, err, tc.want, tc.says)
		}
	}
}

// The program answers HTTP at its address, until its event loops have ended.
func TestHTTPIsAnswered(t *testing.T) {
	backend := enginetest.Listen(t)
	addr, metrics := enginetest.FreeAddr(t), enginetest.FreeAddr(t)
	p := start(t, "-P", addr, "-b", backend.Addr().String(), "--http-address="+metrics)
	p.serving(0)
	for path, want := range map[string]string{
		"/healthz":     "ok\n",
		"/readyz":      "ready\n",
		"/metrics":     "\nmysql_proxy_build_info{goversion=\"go",
		"/status.json": `"address": "` + backend.Addr().String() + `"`,
	} {
		r, err := http.Get("http://" + metrics + path)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.read(p.log))
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %v\n%s", path, r.Status, err, body)
		}
		if path == "/metrics" && !strings.Contains(string(body), `version="`+version+`"} 1`) {
			t.Errorf("it does not tell the version %s", version)
		}
	}
	if !p.logged("(message) answering HTTP on " + metrics + "\n") {
		t.Errorf("the log does not have the address:\n%s", p.read(p.log))
	}
	p.signal(p.cmd.Process.Pid, syscall.SIGTERM)
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
