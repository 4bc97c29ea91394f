package engine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

// splitter is what a script for read/write splitter does: it fills the pools,
// runs reads on the read-only backend, injects queries that the client must not
// see, keeps a session for a transaction, and gives it back otherwise.
func splitter() *hooks {
	h := &hooks{}
	rng := rand.New(rand.NewPCG(1, 2)) // under the hooks' lock
	h.connect = func(s hook.Session) hook.Verdict {
		for i, b := range h.global.Backends() {
			if b.Idle(s.Loop(), "") < 3 {
				s.SetBackend(i + 1)
				return hook.Verdict{}
			}
		}
		s.SetBackend(1 + rng.IntN(2))
		return ignoreResult()
	}
	h.authResult = func(s hook.Session, p []byte) hook.Verdict {
		if len(p) > 0 && p[0] == 0 {
			s.SetBackend(0)
		}
		return hook.Verdict{}
	}
	h.query = func(s hook.Session, p []byte) hook.Verdict {
		if p[0] == byte(packet.ComQuit) {
			return sendResult(OK(0))
		}
		if s.Server() == nil {
			if bytes.HasPrefix(p[1:], []byte("READ")) && h.global.Backends()[1].Idle(s.Loop(), s.Client().Username) > 0 {
				s.SetBackend(2)
			}
			for n := 1; s.Server() == nil && n <= 2; n++ {
				s.SetBackend(n)
			}
		}
		in := func(id int, payload []byte, needed bool) *hook.Injection { // in the memory of one that is over
			in := s.Queue().New()
			*in = *inject(id, payload, needed)
			return in
		}
		s.Queue().Append(in(1, p, rng.IntN(2) == 0))
		if rng.IntN(3) == 0 {
			s.Queue().Prepend(in(2, Query("READ injected"), true))
		}
		if rng.IntN(8) == 0 {
			s.Queue().Append(in(2, Query("READ behind"), true))
		}
		return sendQuery()
	}
	h.result = func(s hook.Session, in *hook.Injection) hook.Verdict {
		if in.Result.Status&packet.StatusInTrans == 0 && (in.ID == 1 || rng.IntN(4) > 0) && s.Queue().Len() == 0 {
			s.SetBackend(0)
		}
		v := hook.Verdict{}
		if in.ID == 2 {
			v = ignoreResult()
		}
		v.Free = rng.IntN(4) > 0
		return v
	}
	h.gone = func(s hook.Session) { s.SetBackend(0) }
	return h
}

// simPassword is the response that proves to be user.
func simPassword(user string) string { return fmt.Sprintf("%-20s", "I am "+user) }

// simSecret is the password by which the proxy itself proves to be user.
func simSecret(user string) []byte { return []byte("the secret of " + user) }

// modelServer is one session of a server that knows its user, a variable, and
// whether there is a transaction. Its answers tell all of it.
func modelServer(c *Conn, number int, dies func() bool) error {
	if err := c.Run(Greet(Greeting(Caps))); err != nil {
		return err
	}
	p, err := c.ReadPacket()
	if err != nil {
		return err
	}
	l, err := packet.ParseLogin(p.Payload(), Caps)
	if err != nil {
		return err
	}
	var user, variable string
	var trans uint16
	admit := func(seq byte, as, response []byte) error {
		own := packet.NativePassword(simSecret(string(as)), greetedBy())
		if string(response) != simPassword(string(as)) && !bytes.Equal(response, own[:]) {
			_ = c.Run(SendPacket(seq, denied))
			return errCut
		}
		user, variable, trans = string(as), "", 0
		return c.Run(SendPacket(seq, OK(0)))
	}
	if err := admit(2, l.User, l.AuthResponse); err != nil {
		return err
	}
	for {
		p, err := c.ReadPacket()
		if err != nil {
			return err
		}
		if p.Seq() != 0 || len(p.Payload()) == 0 {
			return fmt.Errorf("% x is no command", p)
		}
		if dies() {
			return errCut
		}
		text := string(p.Payload()[1:])
		word, rest, _ := strings.Cut(text, " ")
		switch packet.Command(p.Payload()[0]) {
		case packet.ComResetConnection:
			variable, trans = "", 0
			err = c.Run(SendPacket(1, OK(0)))
		case packet.ComStmtClose:
		case packet.ComChangeUser:
			var u packet.ChangeUser
			if u, err = packet.ParseChangeUser(p.Payload(), Caps); err == nil {
				err = admit(1, u.User, u.AuthResponse)
			}
		case packet.ComQuery:
			switch word {
			case "BEGIN":
				trans = packet.StatusInTrans
			case "COMMIT":
				trans = 0
			case "SET":
				variable = rest
			case "LOAD":
				err = c.Run(SendPacket(1, []byte("\xfbf")))
				seq := byte(2)
				for err == nil {
					if p, err = c.ReadPacket(); err != nil || len(p.Payload()) == 0 {
						break
					}
					if p.Seq() != seq || string(p.Payload()) != rest {
						return fmt.Errorf("file of %q has % x, want %d", rest, p, seq)
					}
					seq++
				}
				if err == nil {
					err = c.Run(SendPacket(seq+1, OK(trans)))
				}
				if err != nil {
					return err
				}
				continue
			}
			rows, _ := Result(nil, 1, Caps, trans, fmt.Sprintf("%s|%d|%s|%d|%s", user, number, variable, trans, text))
			_, err = c.Write(rows)
		default:
			return fmt.Errorf("%v came", packet.Command(p.Payload()[0]))
		}
		if err != nil {
			return err
		}
	}
}

// modelClient is a session of user's. Whatever it is told must be about its own
// commands, as its own user, and with its own variable or none.
func modelClient(c *Conn, rng *rand.Rand, user, mine string) error {
	g, l := Greeting(Caps), loginOf(user, simPassword(user), Caps)
	fraud := rng.IntN(10) == 0
	if fraud {
		l.AuthResponse = []byte(simPassword("somebody"))
	}
	if err := c.Run(ExpectPacket(0, g.Append(nil)), SendPacket(1, l.Append(nil, Caps))); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	p, err := c.ReadPacket()
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", errCut, err)
	case isERR(p, 1045) && fraud:
		return c.Run(ExpectEnd())
	case fraud && p.Payload()[0] == 0:
		return errors.New("it was let in by a wrong password")
	case isERR(p, 2013):
		return errCut
	case p.Payload()[0] != 0 || p.Seq() != 2:
		return fmt.Errorf("the login's answer is % x", p)
	}
	within := "" // the server session of the transaction
	token := 0
	for range 1 + rng.IntN(20) {
		var batch []byte
		var sqls []string
		for range 1 + rng.IntN(1<<rng.IntN(4)) {
			token++
			word := []string{"READ", "READ", "READ", "WRITE", "SET", "BEGIN", "COMMIT", "CLOSE", "LOAD"}[rng.IntN(9)]
			sql := fmt.Sprintf("%s %s-%d", word, mine, token)
			switch word {
			case "CLOSE":
				batch = packet.AppendPacket(batch, 0, []byte{byte(packet.ComStmtClose), 1, 0, 0, 0})
				continue
			case "SET":
				sql = "SET " + mine
			}
			batch, sqls = packet.AppendPacket(batch, 0, Query(sql)), append(sqls, sql)
			if word == "LOAD" {
				break
			}
		}
		if _, err := c.Write(batch); err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
		if rng.IntN(60) == 0 {
			return nil // in the middle of it all
		}
		for _, sql := range sqls {
			first, err := c.ReadPacket()
			switch {
			case err != nil:
				return fmt.Errorf("%w: %w", errCut, err)
			case isERR(first, 2013):
				return errCut
			case first.Seq() != 1:
				return fmt.Errorf("the answer to %q starts with % x", sql, first)
			}
			if file, ok := strings.CutPrefix(sql, "LOAD "); ok {
				if string(first.Payload()) != "\xfbf" {
					return fmt.Errorf("the answer to %q is % x", sql, first)
				}
				var up []byte
				seq := byte(2)
				for range rng.IntN(5) {
					up = packet.AppendPacket(up, seq, []byte(file))
					seq++
				}
				if rng.IntN(20) == 0 {
					_, _ = c.Write(up[:rng.IntN(len(up)+1)])
					return nil
				}
				if _, err := c.Write(packet.AppendPacket(up, seq, nil)); err != nil {
					return fmt.Errorf("%w: %w", errCut, err)
				}
				p, err := c.ReadPacket()
				switch {
				case err != nil || isERR(p, 2013):
					return errCut
				case p.Seq() != seq+1 || p.Payload()[0] != 0:
					return fmt.Errorf("the end of %q is % x, want %d", sql, p, seq+1)
				}
				continue
			}
			var row []byte
			for n := byte(2); n <= 5; n++ {
				p, err := c.ReadPacket()
				switch {
				case err != nil || isERR(p, 2013):
					return errCut
				case p.Seq() != n:
					return fmt.Errorf("packet %d of the answer to %q is % x", n, sql, p)
				case n == 4:
					row, _, _ = packet.TextValue(p.Payload())
				}
			}
			told := strings.Split(string(row), "|")
			if len(told) != 5 || told[0] != user || told[4] != sql || told[2] != "" && told[2] != mine {
				return fmt.Errorf("%s as %s was told %q of %q", mine, user, row, sql)
			}
			switch {
			case within != "" && told[1] != within:
				return fmt.Errorf("the transaction of server session %s goes on in %q", within, row)
			case told[3] == "0":
				within = ""
			default:
				within = told[1]
			}
		}
	}
	if rng.IntN(2) == 0 {
		err := c.Run(SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectPacket(1, OK(0)))
		if isEnd(err) {
			err = errCut // the server has gone first
		}
		return err
	}
	return nil
}

// Clients of two users share the sessions with two servers as a script has it,
// and leave, die and cheat now and then, as servers die. Nobody is ever told
// what is another's. ENGINE_SIM and ENGINE_SIM_SEED as in TestSimulation.
func TestSimulationWithScript(t *testing.T) {
	lasts, seed := simSettings(t)
	for _, tc := range []struct {
		name  string
		wires bool
		die   int  // one command in so many kills the server session
		owns  bool // the proxy has passwords, and opens sessions
	}{{"direct", false, 0, false}, {"wires that split", true, 0, false}, {"servers that die", true, 50, false},
		{"sessions are opened", true, 0, true}, {"sessions are opened with servers that die", false, 50, true}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t).inTime()
			var failed atomic.Bool
			report := func(who string, err error) {
				if err != nil && !errors.Is(err, errCut) {
					failed.Store(true)
					w.Errorf("seed %d, %s: %v", seed, who, err)
				}
			}
			var number atomic.Int64
			serve := func(i int, c *Conn) error {
				n := int(number.Add(1))
				rng := rand.New(rand.NewPCG(seed, uint64(n)))
				err := modelServer(c, n, func() bool { return tc.die > 0 && rng.IntN(tc.die) == 0 })
				var unread interface{ Timeout() bool }
				if err != nil && !errors.Is(err, errCut) && !errors.As(err, &unread) && !isEnd(err) {
					report(fmt.Sprint("server session ", n), err)
				}
				return nil
			}
			a, b := w.serverOf(serve), w.serverOf(serve)
			cfg := w.config(a.Addr(), b.Addr())
			cfg.Backends[1].ReadOnly = true
			cfg.Loops = 2
			if tc.owns {
				cfg.Auth, cfg.Users = AuthUsersFile, func(user string) (UserSecret, bool) { return UserSecret{Password: simSecret(user)}, true }
			}
			h := splitter()
			with(h)(&cfg)
			w.start(cfg)
			front := w.front()
			if tc.wires {
				v := NewWire(t, front, WireConfig{Seed: seed, Chunk: 512})
				w.Cleanup(v.Close)
				front = v.Addr()
			}
			goes := simGoes(lasts/5, func() bool { return true })
			var clients sync.WaitGroup
			var sessions, cut atomic.Int64
			for i := range 8 {
				clients.Add(1)
				go func() {
					defer clients.Done()
					user := []string{"app", "other"}[i%2]
					for n := 0; goes() && !failed.Load(); n++ {
						c, err := Dial(front, "client")
						if err != nil {
							report("dial", err)
							return
						}
						err = modelClient(c, rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(n))), user, fmt.Sprintf("c%d.%d", i, n))
						if errors.Is(err, errCut) {
							cut.Add(1)
						}
						report(fmt.Sprintf("client %d session %d", i, n), err)
						c.Close()
						sessions.Add(1)
					}
				}()
			}
			clients.Wait()
			t.Logf("%d sessions, %d of them cut, %d server sessions", sessions.Load(), cut.Load(), number.Load())
			if failed.Load() {
				return
			}
			if tc.die == 0 && cut.Load() > sessions.Load()/2 {
				t.Errorf("seed %d: %d of %d sessions were cut, without a reason", seed, cut.Load(), sessions.Load())
			}
			eventually(t, "no session is reserved for one that has ended", func() error {
				if n := len(w.log.all("session ended")); int64(n) < sessions.Load() {
					return fmt.Errorf("%d of %d sessions have ended", n, sessions.Load())
				}
				for _, l := range w.proxy.loops {
					left := make(chan int, 1)
					l.Post(func() {
						n := 0
						for _, b := range w.proxy.Backends() {
							p := l.pool(b)
							n += p.reserved
							for _, idle := range p.idle {
								for _, s := range idle {
									if s.reserved {
										n++
									}
								}
							}
						}
						left <- n + len(l.waiting)
					})
					if n := <-left; n > 0 {
						return fmt.Errorf("%d on loop %d", n, l.number)
					}
				}
				return nil
			})
		})
	}
}

// isEnd tells whether err is that of a peer that has gone.
func isEnd(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	for _, s := range []string{"EOF", "reset by peer", "broken pipe", "closed network"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}
