package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// session is a rawConn that is logged in and whose end does not unwind the
// test: every call tells how it went.
type session struct {
	*rawConn
	t *testing.T
}

// openSession logs the app user in at addr.
func openSession(t *testing.T, addr string) *session {
	t.Helper()
	s, err := trySession(t, addr, servers(t).Users.App)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// trySession is openSession for user u that reports a refusal: the text of the ERR that
// came, or how the connection ended.
func trySession(t *testing.T, addr string, u user) (*session, error) {
	t.Helper()
	tr := &trace{}
	c, err := dialRaw(addr, tr)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { c.nc.Close() })
	c.timeout = patience
	s := &session{c, t}
	admitted := false
	ended := s.attempt(func() {
		admitted = c.login(login{user: u.Name, password: u.Password, db: servers(t).Database, caps: capsBase})
	})
	if ended || !admitted {
		c.nc.Close()
		return nil, fmt.Errorf("login at %s: %s", addr, tr.last())
	}
	return s, nil
}

// attempt runs f and tells whether the connection ended in it.
func (s *session) attempt(f func()) (ended bool) {
	defer func() {
		if e := recover(); e != nil {
			if e != any(errEnded) {
				panic(e)
			}
			ended = true
		}
	}()
	f()
	return false
}

// ask sends a statement and returns the last row's first column, "OK", the
// ERR as "ERR code", or how the connection ended: "closed" or "no answer in time".
func (s *session) ask(sql string) string {
	s.start(sql)
	return s.answer()
}

// start only sends the statement.
func (s *session) start(sql string) {
	s.attempt(func() { s.write(s.command(comQuery, []byte(sql))) })
}

// answer reads the response of start.
func (s *session) answer() string {
	var value string
	ended := s.attempt(func() {
		p := s.packet()
		switch p[0] {
		case 0x00:
			value = "OK"
			return
		case 0xFF:
			value = errText(p)
			return
		}
		n, _ := lenenc(p)
		for range n + 1 { // with the EOF
			s.packet()
		}
		for {
			p := s.packet()
			if p[0] == 0xFF {
				value = errText(p)
				return
			}
			if p[0] == 0xFE && len(p) < 9 {
				return
			}
			if size, k := lenenc(p); p[0] == 0xFB {
				value = "NULL"
			} else {
				value = string(p[k : k+int(min(size, 100))])
			}
		}
	})
	if ended {
		return s.tr.last()
	}
	return value
}

// errText is "ERR code" of an ERR payload.
func errText(p []byte) string {
	return fmt.Sprintf("ERR %d", binary.LittleEndian.Uint16(p[1:]))
}

// mustAsk fails the test when the answer is not want.
func (s *session) mustAsk(sql, want string) {
	s.t.Helper()
	if got := s.ask(sql); got != want {
		s.t.Fatalf("%s: got %q, want %q", sql, got, want)
	}
}

// farewell reads until the peer closes and returns the ERRs that came before,
// as "ERR code", or "no answer in time".
func (s *session) farewell() string {
	var said []string
	s.attempt(func() {
		for {
			p := bytes.Clone(s.packet())
			if len(p) > 2 && p[0] == 0xFF {
				said = append(said, errText(p))
			} else {
				said = append(said, fmt.Sprintf("%x", p))
			}
		}
	})
	return strings.Join(append(said, s.tr.last()), ", ")
}
