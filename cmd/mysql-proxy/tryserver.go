package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"mysqlproxy/packet"
)

// This file is the server behind `mysql-proxy test`: it takes any login, knows
// no tables, and answers each kind of statement in one way. What it answers is
// in trypeer.go.

// tryCaps are the capabilities of server and client: those of a common client.
const tryCaps = packet.CapLongPassword | packet.CapLongFlag | packet.CapConnectWithDB |
	packet.CapProtocol41 | packet.CapTransactions | packet.CapSecureConnection | packet.CapMultiResults |
	packet.CapPSMultiResults | packet.CapPluginAuth | packet.CapPluginAuthLenenc

// tryVersion is the version that the server claims.
const tryVersion = "8.0.36-test"

// tryServer is one backend. Its peers run on goroutines of their own.
type tryServer struct {
	name     string // "primary", "replica 1"
	id       int    // @@server_id
	readOnly bool
	trace    *tryTrace
	ln       net.Listener
	inserted atomic.Uint64 // insert ids so far
	commands atomic.Int64
	logins   atomic.Int64

	mu      sync.Mutex
	conns   map[net.Conn]bool // nil once closed
	running sync.WaitGroup
}

// startTryServer listens on a free port of the loopback.
func startTryServer(name string, id int, readOnly bool, trace *tryTrace) (*tryServer, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &tryServer{name: name, id: id, readOnly: readOnly, trace: trace, ln: ln, conns: map[net.Conn]bool{}}
	s.running.Add(1)
	go s.accept()
	return s, nil
}

func (s *tryServer) accept() {
	defer s.running.Done()
	for thread := uint32(1); ; thread++ {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.conns == nil {
			s.mu.Unlock()
			nc.Close()
			return
		}
		s.conns[nc] = true
		s.running.Add(1)
		s.mu.Unlock()
		p := &tryPeer{server: s, conn: nc, r: bufio.NewReader(nc), thread: uint32(s.id)*1000 + thread}
		go func() {
			defer s.running.Done()
			p.serve()
			nc.Close()
			s.mu.Lock()
			delete(s.conns, nc)
			s.mu.Unlock()
		}()
	}
}

// close closes everything and waits until it has ended.
func (s *tryServer) close() {
	s.ln.Close()
	s.mu.Lock()
	for nc := range s.conns {
		nc.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.running.Wait()
}

// tryPeer is one connection of a tryServer. Its goroutine owns it.
type tryPeer struct {
	server *tryServer
	conn   net.Conn
	r      *bufio.Reader
	thread uint32
	seq    byte // of the packet that was read last
	caps   packet.Capability

	user, schema string
	autocommit   bool
	inTrans      bool
	insertID     uint64
	prepared     uint32 // statements so far
	statements   map[uint32]*tryPrepared
}

// tryPrepared is a prepared statement.
type tryPrepared struct {
	sql    string
	params int
	types  []byte // two bytes a parameter, as the last execution bound them
}

// serve runs the connection until it ends. What goes wrong ends it: the engine
// deals with that, and the trace shows what came of it.
func (p *tryPeer) serve() {
	if !p.login() {
		return
	}
	for {
		payload, err := p.read()
		if err != nil || len(payload) == 0 || packet.Command(payload[0]) == packet.ComQuit {
			return
		}
		p.server.commands.Add(1)
		p.server.trace.sent(p.server.name, describeCommand(payload))
		code := packet.Command(payload[0])
		var reply [][]byte
		if code == packet.ComChangeUser {
			reply = p.changeUser(payload)
		} else {
			reply = p.answer(code, payload[1:])
		}
		if len(reply) == 0 {
			continue
		}
		p.tell(code, reply)
		if p.write(reply) != nil {
			return
		}
	}
}

// tell has the trace show the response.
func (p *tryPeer) tell(code packet.Command, reply [][]byte) {
	a, err := readAnswer(code, p.caps, reply)
	text := a.summary
	if err != nil {
		text = err.Error()
	}
	if len(a.tables) == 1 && len(a.tables[0].rows) == 1 {
		text += " (" + strings.Join(a.tables[0].rows[0], ", ") + ")"
	}
	p.server.trace.answered(p.server.name, text)
}

// login greets and lets anybody in.
func (p *tryPeer) login() bool {
	g := packet.Greeting{
		Version: []byte(tryVersion), ThreadID: p.thread, Challenge: p.challenge(0), ChallengeSize: packet.ChallengeLen,
		Capabilities: tryCaps, Collation: 45, Status: packet.StatusAutocommit, Plugin: []byte(packet.PluginNative),
	}
	p.seq = 255
	if p.write([][]byte{g.Append(nil)}) != nil {
		return false
	}
	payload, err := p.read()
	if err != nil {
		return false
	}
	in, err := packet.ParseLogin(payload, tryCaps)
	if err != nil || in.SSLRequest {
		return false
	}
	p.caps = packet.Effective(tryCaps, in.Capabilities)
	p.server.logins.Add(1)
	text := "login of " + string(in.User)
	if len(in.Database) > 0 {
		text += ", default database " + string(in.Database)
	}
	p.server.trace.sent(p.server.name, text)
	p.reset(string(in.User), string(in.Database))
	reply := [][]byte{p.ok(0, 0)}
	p.tell(packet.ComQuery, reply)
	return p.write(reply) == nil
}

// challenge is the same for each connection of a number: nothing is secret
// here, and a script's output can be compared.
func (p *tryPeer) challenge(salt byte) (c [packet.ChallengeLen]byte) {
	for i := range c {
		c[i] = 'a' + (byte(p.thread)+salt+byte(i)*7)%26
	}
	return c
}

// changeUser asks the client for a response to a new challenge, as servers do,
// and takes any.
func (p *tryPeer) changeUser(payload []byte) [][]byte {
	u, err := packet.ParseChangeUser(payload, p.caps)
	if err != nil {
		return p.fail(1047, "08S01", "malformed COM_CHANGE_USER")
	}
	user, schema := string(u.User), string(u.Database)
	c := p.challenge(13)
	a := packet.AuthSwitch{Plugin: []byte(packet.PluginNative), Data: c[:]}
	if p.write([][]byte{a.Append(nil)}) != nil {
		return nil
	}
	if _, err := p.read(); err != nil {
		return nil
	}
	p.reset(user, schema)
	return [][]byte{p.ok(0, 0)}
}

// reset makes the connection as new.
func (p *tryPeer) reset(user, schema string) {
	p.user, p.schema = user, schema
	p.autocommit, p.inTrans, p.insertID = true, false, 0
	p.statements = map[uint32]*tryPrepared{}
}

// read reads a whole payload.
func (p *tryPeer) read() (payload []byte, err error) {
	for {
		var head [packet.HeaderLen]byte
		if _, err := io.ReadFull(p.r, head[:]); err != nil {
			return nil, err
		}
		n := packet.Packet(head[:]).PayloadLen()
		if len(payload)+n > tryMaxPayload {
			return nil, fmt.Errorf("a payload of more than %d bytes", tryMaxPayload)
		}
		at := len(payload)
		payload = append(payload, make([]byte, n)...)
		if _, err := io.ReadFull(p.r, payload[at:]); err != nil {
			return nil, err
		}
		p.seq = head[3]
		if n < packet.MaxPayload {
			return payload, nil
		}
	}
}

// tryMaxPayload is the longest payload that server and client take, in bytes.
const tryMaxPayload = 64 << 20

func (p *tryPeer) write(payloads [][]byte) error {
	var b []byte
	for _, payload := range payloads {
		p.seq++
		b = packet.AppendPacket(b, p.seq, payload)
	}
	_, err := p.conn.Write(b)
	return err
}

func (p *tryPeer) status() (s uint16) {
	if p.autocommit {
		s |= packet.StatusAutocommit
	}
	if p.inTrans {
		s |= packet.StatusInTrans
	}
	return s
}

func (p *tryPeer) ok(affected, insertID uint64) []byte {
	ok := packet.OK{AffectedRows: affected, LastInsertID: insertID, Status: p.status()}
	return ok.Append(nil, p.caps)
}

func (p *tryPeer) fail(code uint16, state, text string) [][]byte {
	return [][]byte{packet.AppendERR(nil, code, state, text)}
}

// number reads the number at the start of s.
func number(s string) (n uint64, ok bool) {
	end := 0
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	n, err := strconv.ParseUint(s[:end], 10, 64)
	return n, err == nil
}
