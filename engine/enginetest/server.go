package enginetest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Server listens, and treats each connection as its handler says.
type Server struct {
	ln      net.Listener
	running sync.WaitGroup

	mu    sync.Mutex
	n     int // connections so far
	errs  []error
	conns []*Conn
}

// NewServer serves on ln. handle is called on a goroutine for each connection,
// with its number from 0; when it returns the connection is closed. Its errors
// come back from Close.
func NewServer(ln net.Listener, handle func(i int, c *Conn) error) *Server {
	s := &Server{ln: ln}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			i := s.n
			s.n++
			c := NewConn(nc, fmt.Sprintf("server connection %d", i))
			s.conns = append(s.conns, c)
			s.mu.Unlock()
			s.running.Add(1)
			go func() {
				defer s.running.Done()
				defer nc.Close()
				if err := handle(i, c); err != nil {
					s.mu.Lock()
					s.errs = append(s.errs, err)
					s.mu.Unlock()
				}
			}()
		}
	}()
	return s
}

// Scripts handles connection i by scripts[i]; there must not be more of them.
func Scripts(scripts ...[]Step) func(int, *Conn) error {
	return func(i int, c *Conn) error {
		if i >= len(scripts) {
			return fmt.Errorf("there is no script for connection %d", i)
		}
		return c.Run(scripts[i]...)
	}
}

// Addr is where s listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Connections is how many there were so far.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// Close stops listening, waits until all handlers have returned, and returns
// their errors. After Patience it closes what is still open.
func (s *Server) Close() error {
	s.ln.Close()
	hard := time.AfterFunc(Patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.errs = append(s.errs, errors.New("a connection of the server had to be closed by force"))
		for _, c := range s.conns {
			c.Close()
		}
	})
	s.running.Wait()
	hard.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.errs...)
}
