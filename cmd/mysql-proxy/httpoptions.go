package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"mysqlproxy/engine/admin"
	"mysqlproxy/engine/reactor"
)

// The option of the HTTP server for monitoring.

var httpOptions = []option{
	{long: "http-address", kind: stringKind, arg: "ADDRESS", defText: "none, off", group: mainGroup,
		help: "answer HTTP here for monitoring: /metrics (Prometheus), /healthz, /readyz, /status.json; PORT and :PORT are 127.0.0.1:PORT. It has no password: write another address out, such as 0.0.0.0:PORT, only where whoever reaches it may read that",
		dst:  func(s *settings) any { return &s.HTTPAddress }},
}

// httpEndpoint takes the http-address apart without asking the name service. ok
// is false without one.
func (s *settings) httpEndpoint() (text string, ok bool, err error) {
	text = strings.Trim(s.HTTPAddress, blanks)
	if text == "" {
		return "", false, nil
	}
	bad := func(why string) (string, bool, error) {
		return "", false, fmt.Errorf("--http-address: address %q: %s", clip(text), why)
	}
	if _, err := strconv.ParseUint(text, 10, 64); err == nil {
		text = ":" + text
	}
	e, err := reactor.SplitAddr(text)
	switch {
	case err != nil:
		return "", false, fmt.Errorf("--http-address: %w", err)
	case e.Path != "":
		return bad("HTTP is not answered at unix sockets; give HOST:PORT or PORT")
	case !e.PortGiven:
		return bad("it has no port; give HOST:PORT or PORT")
	case e.Host == "":
		text = fmt.Sprintf("127.0.0.1:%d", e.Port)
	}
	return text, true, nil
}

// httpAddr is where HTTP is answered. It may ask the name service. ok is false
// without an address.
func (s *settings) httpAddr() (a netip.AddrPort, ok bool, err error) {
	text, ok, err := s.httpEndpoint()
	if err != nil || !ok {
		return a, false, err
	}
	r, err := reactor.ParseAddr(text)
	if err != nil {
		return a, false, fmt.Errorf("--http-address: %w", err)
	}
	return r.IP, true, nil
}

// httpHint says what to do when HTTP cannot be answered at its address.
func httpHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another program, or this one for clients, listens there: change --http-address, or stop the other"
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "; use a port from 1024 up, or start as root with --user"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; no network interface of this machine has that address: change --http-address"
	case errors.Is(err, syscall.EMFILE):
		return "; raise --max-open-files"
	}
	return ""
}

// listenHTTP binds the http-address, if there is one, and says so.
func (w *worker) listenHTTP() error {
	addr, ok, err := w.s.httpAddr()
	if err != nil || !ok {
		return err
	}
	if w.http, err = admin.ListenHTTP(addr, w.log); err != nil {
		return fmt.Errorf("--http-address: %w%s", err, httpHint(err))
	}
	w.message(fmt.Sprintf("answering HTTP on %s", w.http.Addr()))
	return nil
}
