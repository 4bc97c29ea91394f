package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"mysqlproxy/engine"
)

// This file is the HTTP server: what monitoring asks, off the event loops.
//
//	GET /metrics      metrics.go  every figure, for Prometheus
//	GET /healthz                  200 while the event loops turn
//	GET /readyz       ready.go    200 while writes have somewhere to go
//	GET /status.json  status.go   the figures and what has happened of late
//
//	request --> snapshots --> Source.Figures --> one Post to each loop
//
// It changes nothing, and tells nothing of what clients send or who they are. It
// has no password: whoever reaches the address may read.

// Source is what HTTP tells of; an engine.Engine is one.
type Source interface {
	Figures(context.Context) (engine.Figures, error)
	Events() []engine.Event
	Stopping() bool
}

// Limits of the HTTP server. Whoever reaches it must not be able to take more of
// the process than this.
const (
	httpConnections = 64               // at one time; others wait in the kernel
	httpHeaderBytes = 16 << 10         // of a request
	httpHeaderTime  = 5 * time.Second  // for a request to come,
	httpAnswerTime  = 15 * time.Second // and for its answer to be taken
	httpStopTime    = time.Second      // for the answers under way at Stop
)

// HTTP is a server that tells of a running proxy. Its methods may be called by any
// goroutine.
type HTTP struct {
	ln     net.Listener
	server *http.Server
	log    *slog.Logger
	done   sync.WaitGroup
}

// ListenHTTP binds addr; nothing is answered before Start, and Stop gives the port
// back. An error is the kernel's.
func ListenHTTP(addr netip.AddrPort, log *slog.Logger) (*HTTP, error) {
	network := "tcp"
	if addr.Addr().Is4() {
		network = "tcp4" // 0.0.0.0 would be the IPv6 addresses, too
	}
	ln, err := net.Listen(network, addr.String())
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", addr, withoutOp(err))
	}
	return &HTTP{ln: ln, log: log}, nil
}

// withoutOp takes the address, which is told already, off an error of package net.
func withoutOp(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// Addr is where it listens, with the real port where 0 was asked for.
func (h *HTTP) Addr() net.Addr { return h.ln.Addr() }

// Start has requests answered with what src tells. It is called once.
func (h *HTTP) Start(src Source) {
	h.server = &http.Server{
		Handler:           newHandler(src, h.log),
		ReadHeaderTimeout: httpHeaderTime,
		ReadTimeout:       httpHeaderTime,
		WriteTimeout:      httpAnswerTime,
		MaxHeaderBytes:    httpHeaderBytes,
		// What a client does wrong is its affair.
		ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelDebug),
	}
	// A connection for each request: those that are idle hold none of the few.
	h.server.SetKeepAlivesEnabled(false)
	h.done.Go(func() {
		if err := h.server.Serve(&limited{Listener: h.ln, free: make(chan struct{}, httpConnections), over: make(chan struct{})}); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("the HTTP server has ended", "error", err)
		}
	})
}

// Stop ends the server: answers that are under way have a second.
func (h *HTTP) Stop() {
	if h.server == nil {
		h.ln.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpStopTime)
	defer cancel()
	if h.server.Shutdown(ctx) != nil {
		h.server.Close()
	}
	h.done.Wait()
}

// newHandler answers requests with what src tells.
func newHandler(src Source, log *slog.Logger) http.Handler {
	s := &snapshots{src: src, turn: make(chan struct{}, 1)}
	m := newMetrics(s, log)
	mux := http.NewServeMux()
	mux.HandleFunc("/{$}", serveIndex)
	mux.HandleFunc("/healthz", s.serveHealth)
	mux.HandleFunc("/readyz", s.serveReady)
	mux.HandleFunc("/status.json", s.serveStatus)
	mux.HandleFunc("/metrics", m.serve)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD are known here", http.StatusMethodNotAllowed)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func serveIndex(w http.ResponseWriter, _ *http.Request) {
	writeText(w, http.StatusOK, "mysql-proxy\n\n/metrics\n/healthz\n/readyz\n/status.json\n")
}

// writeText answers with text. That a client does not take it is no error of ours.
func writeText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text))
}

// serveHealth tells whether the event loops turn: a process whose loops hang is to
// be started anew. That no server can be reached is no reason for it.
func (s *snapshots) serveHealth(w http.ResponseWriter, r *http.Request) {
	if _, err := s.take(r.Context()); err != nil {
		writeText(w, http.StatusServiceUnavailable, "not healthy: "+stuck(err)+"\n")
		return
	}
	writeText(w, http.StatusOK, "ok\n")
}

// stuck says in a sentence why there are no figures.
func stuck(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("within %v: %v", loopPatience, err)
	}
	return err.Error()
}

// limited is a listener that has a limited number of connections open.
type limited struct {
	net.Listener
	free  chan struct{} // as many as there may be; one that is in it is taken
	over  chan struct{} // closed by Close
	close sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.over:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, gone: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limited) Close() error {
	l.close.Do(func() { close(l.over) })
	return l.Listener.Close()
}

// counted is a connection of a limited listener.
type counted struct {
	net.Conn
	gone func()
}

func (c *counted) Close() error {
	defer c.gone()
	return c.Conn.Close()
}
