package engine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	. "mysqlproxy/engine/enginetest"
	"mysqlproxy/packet"
)

// simCluster is a primary and its replicas as far as sessions can tell them
// apart: who has written what, and which replica has it.
type simCluster struct {
	caps   packet.Capability // that the servers offer
	packs  packet.Capability
	secret bool

	mu      sync.Mutex
	gtid    uint64
	written map[int]uint64 // what each client has written last
	applied [2]uint64      // what each replica has
}

// simSession is a session with one of the servers.
type simSession struct {
	*simCluster
	c       *Conn
	replica int // -1: it is the primary
	caps    packet.Capability
	rng     *rand.Rand

	mode, db string
	temps    map[string]bool
	insertID uint64
	found    int
	last     string // number of the last statement that is not about another
	open     bool   // in a transaction,
	writer   int    // in which this client has written
	tracks   bool
}

var (
	simNumbers = regexp.MustCompile(`c=(\d+) AND n=(\d+)$`)
	simInsert  = regexp.MustCompile(`^INSERT INTO t VALUES \((\d+),(\d+)\)$`)
	simMode    = regexp.MustCompile(`^SET (?:SESSION )?sql_mode='(\w+)'$`)
	simWait    = regexp.MustCompile(`(\d+)',[\d.]+\)$`)
)

// simRows are the rows of a read.
func simRows(side, client, number, mode, db string) []string {
	n, _ := strconv.Atoi(number)
	rows := make([]string, 1+n%4)
	for i := range rows {
		rows[i] = strings.Join([]string{side, client, number, mode, db}, "|")
	}
	if n%29 == 0 {
		rows[0] += strings.Repeat("x", 1<<(n%20))
	}
	return rows
}

// admit lets the proxy, or a client through it, in.
func (s *simSession) admit() error {
	offered := s.caps
	if s.secret {
		offered |= packet.CapSSL
	}
	if err := s.c.Run(Greet(Greeting(offered))); err != nil {
		return err
	}
	for {
		p, err := s.c.ReadPacket()
		if err != nil {
			return err
		}
		in, err := packet.ParseLogin(p.Payload(), offered)
		if err != nil {
			return fmt.Errorf("a login: %w", err)
		}
		if in.SSLRequest {
			if err := s.c.Run(StartTLS(ServerTLS(), true)); err != nil {
				return err
			}
			continue
		}
		s.caps &= in.Capabilities
		s.db = string(in.Database)
		if err := s.c.Run(SendPacket(p.Seq()+1, OK(0))); err != nil {
			return err
		}
		if packs := s.packs & in.Capabilities; packs != 0 {
			return s.c.Run(CompressAtOnce(packs, true))
		}
		return nil
	}
}

// serve answers commands until the session ends. A connection that breaks is the
// client's side to judge.
func (s *simSession) serve() error {
	if err := s.admit(); err != nil {
		return nil //nolint:nilerr // the client knows whether that was right
	}
	for {
		p, err := s.c.ReadPacket()
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		if packet.Command(p.Payload()[0]) == packet.ComQuit {
			return nil
		}
		out, err := s.answer(p.Payload())
		if err != nil {
			return fmt.Errorf("%q: %w", p.Payload()[:min(len(p.Payload()), 80)], err)
		}
		if out == nil {
			_ = s.c.Run(Reset())
			return nil
		}
		if _, err := s.c.Write(out); err != nil {
			return nil //nolint:nilerr // as above
		}
	}
}

func (s *simSession) status() uint16 {
	if s.open {
		return packet.StatusAutocommit | packet.StatusInTrans
	}
	return packet.StatusAutocommit
}

func (s *simSession) fails(code uint16) []byte {
	return packet.AppendPacket(nil, 1, packet.AppendERR(nil, code, "HY000", "no"))
}

func (s *simSession) ok(changes ...packet.SessionChange) []byte {
	o := packet.OK{LastInsertID: s.insertID, Status: s.status()}
	for _, c := range changes {
		o.SessionState = c.Append(o.SessionState)
	}
	return packet.AppendPacket(nil, 1, o.Append(nil, s.caps))
}

func (s *simSession) rows(rows ...string) []byte {
	b, _ := Result(nil, 1, s.caps, s.status()&^packet.StatusAutocommit, rows...)
	return b
}

// commits gives what client has written a GTID.
func (s *simSession) commits(client int) []packet.SessionChange {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gtid++
	s.written[client] = s.gtid
	if !s.tracks {
		return nil
	}
	return []packet.SessionChange{{Kind: packet.SessionGTIDs, Value: fmt.Appendf(nil, "%s:%d", uuid, s.gtid)}}
}

// answer is the response to a command; nil if the connection breaks over it.
func (s *simSession) answer(payload []byte) ([]byte, error) {
	text := string(payload[1:])
	switch packet.Command(payload[0]) {
	case packet.ComPing:
		return s.ok(), nil
	case packet.ComInitDB:
		s.db = text
		return s.ok(packet.SessionChange{Kind: packet.SessionSchema, Value: payload[1:]}), nil
	case packet.ComResetConnection:
		if s.open {
			return nil, errors.New("a reset in a transaction")
		}
		*s = simSession{simCluster: s.simCluster, c: s.c, replica: s.replica, caps: s.caps, rng: s.rng, db: s.db, temps: map[string]bool{}}
		return s.ok(), nil
	case packet.ComQuery:
		if strings.HasPrefix(text, "SELECT") || strings.HasPrefix(text, "SHOW") {
			return s.asked(text)
		}
		return s.told(text)
	}
	return nil, errors.New("an unknown command")
}

// asked answers what has rows.
func (s *simSession) asked(sql string) ([]byte, error) {
	switch {
	case sql == "SELECT @@GLOBAL.gtid_mode='ON' AND @@GLOBAL.log_bin":
		return s.rows("1"), nil
	case sql == "SELECT @@GLOBAL.gtid_executed":
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.rows(fmt.Sprintf("%s:1-%d", uuid, s.gtid)), nil
	case sql == "SELECT LAST_INSERT_ID()":
		return s.rows(strconv.FormatUint(s.insertID, 10)), nil
	case sql == "SELECT FOUND_ROWS()":
		return s.rows(strconv.Itoa(s.found)), nil
	case sql == "SHOW WARNINGS":
		return s.rows("about " + s.last), nil
	case strings.HasPrefix(sql, "SELECT WAIT_FOR_EXECUTED_GTID_SET("):
		if s.replica < 0 {
			return nil, errors.New("at the primary")
		}
		m := simWait.FindStringSubmatch(sql)
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil || s.rng.IntN(4) == 0 {
			return s.rows("1"), err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.applied[s.replica] = max(s.applied[s.replica], n)
		return s.rows("0"), nil
	}
	m := simNumbers.FindStringSubmatch(sql)
	if m == nil {
		return nil, errors.New("an unknown question")
	}
	client, _ := strconv.Atoi(m[1])
	n, _ := strconv.Atoi(m[2])
	side := "p"
	if s.replica >= 0 {
		side = "r"
		switch n % 23 {
		case 3:
			return s.fails(1146), nil
		case 4:
			return nil, nil
		}
		s.mu.Lock()
		wrote, has := s.written[client], s.applied[s.replica]
		s.mu.Unlock()
		if wrote > has {
			return nil, fmt.Errorf("the client has written %d, replica %d has %d", wrote, s.replica, has)
		}
	}
	rows := simRows(side, m[1], m[2], s.mode, s.db)
	s.found, s.last = len(rows), m[2]
	return s.rows(rows...), nil
}

// told answers what has none.
func (s *simSession) told(sql string) ([]byte, error) {
	if m := simMode.FindStringSubmatch(sql); m != nil {
		if strings.HasSuffix(m[1], "x") {
			return s.fails(1231), nil
		}
		s.mode, s.last = m[1], ""
		return s.ok(), nil
	}
	word, _, _ := strings.Cut(sql, "=")
	switch word {
	case "SET SESSION session_track_gtids":
		s.tracks = true
		return s.ok(), nil
	case "SET character_set_client":
		return s.ok(), nil
	case "SET last_insert_id":
		s.insertID, _ = strconv.ParseUint(sql[len("SET last_insert_id="):], 10, 64)
		return s.ok(), nil
	}
	if s.replica >= 0 {
		return nil, errors.New("at a replica")
	}
	s.last = ""
	switch {
	case sql == "BEGIN":
		s.open, s.writer = true, -1
		return s.ok(), nil
	case sql == "COMMIT", sql == "ROLLBACK":
		wrote := s.open && s.writer >= 0 && sql == "COMMIT"
		if s.open = false; wrote {
			return s.ok(s.commits(s.writer)...), nil
		}
		return s.ok(), nil
	case strings.HasPrefix(sql, "CREATE TEMPORARY TABLE "):
		s.temps[strings.Fields(sql)[3]] = true
		return s.ok(), nil
	case strings.HasPrefix(sql, "DROP TABLE "):
		delete(s.temps, sql[len("DROP TABLE "):])
		return s.ok(), nil
	}
	m := simInsert.FindStringSubmatch(sql)
	if m == nil {
		return nil, errors.New("an unknown statement")
	}
	client, _ := strconv.Atoi(m[1])
	n, _ := strconv.ParseUint(m[2], 10, 64)
	if n%4 == 0 { // half of it is done
		if s.open {
			s.writer = client
		} else {
			s.commits(client)
		}
		return s.fails(1062), nil
	}
	s.insertID = n
	if s.open {
		s.writer = client
		return s.ok(), nil
	}
	return s.ok(s.commits(client)...), nil
}

// simPlayer is a client, with what it knows of its session.
type simPlayer struct {
	c        *Conn
	id       int
	rng      *rand.Rand
	caps     packet.Capability
	mode, db string
	temps    map[string]bool
	open     bool
	insertID uint64
	found    int    // rows of the command before, -1 if that was none that counts
	last     string // its number
	past     []string
}

// simCommand is a command and what has to come back.
type simCommand struct {
	payload []byte
	rows    func([]string) error // if it has rows
	ok      []byte               // else
	fails   bool                 // else
}

func (p *simPlayer) ok(changes ...packet.SessionChange) []byte {
	s := simSession{simCluster: &simCluster{}, caps: p.caps, insertID: p.insertID, open: p.open}
	return s.ok(changes...)
}

func rowsAre(want ...string) func([]string) error {
	return func(got []string) error {
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			return fmt.Errorf("%.300q, want %.300q", got, want)
		}
		return nil
	}
}

// next is a command at random.
func (p *simPlayer) next() simCommand {
	found, last := p.found, p.last
	p.found, p.last = -1, ""
	n := p.rng.IntN(1 << 20)
	number := strconv.Itoa(n)
	switch p.rng.IntN(24) {
	case 0, 1:
		q := Query(fmt.Sprintf("INSERT INTO t VALUES (%d,%d)", p.id, n))
		if n%4 == 0 {
			return simCommand{payload: q, fails: true}
		}
		p.insertID = uint64(n)
		return simCommand{payload: q, ok: p.ok()}
	case 2:
		if p.open = !p.open; p.open {
			return simCommand{payload: Query("BEGIN"), ok: p.ok()}
		}
		return simCommand{payload: Query([]string{"COMMIT", "ROLLBACK"}[n%2]), ok: p.ok()}
	case 3:
		if n%4 == 0 {
			return simCommand{payload: Query("SET sql_mode='m" + number + "x'"), fails: true}
		}
		p.mode = "m" + number
		return simCommand{payload: Query("SET sql_mode='" + p.mode + "'"), ok: p.ok()}
	case 4:
		p.db = "d" + strconv.Itoa(n%5)
		return simCommand{payload: append([]byte{byte(packet.ComInitDB)}, p.db...), ok: p.ok(packet.SessionChange{Kind: packet.SessionSchema, Value: []byte(p.db)})}
	case 5:
		name := "tmp" + strconv.Itoa(n%2)
		if p.temps[name] {
			delete(p.temps, name)
			return simCommand{payload: Query("DROP TABLE x." + name), ok: p.ok()}
		}
		if n%3 == 0 {
			p.temps[name] = true
			return simCommand{payload: Query("CREATE TEMPORARY TABLE x." + name + " (a INT)"), ok: p.ok()}
		}
	case 6:
		if !p.open && n%2 == 0 {
			p.mode, p.temps, p.insertID = "", map[string]bool{}, 0
			return simCommand{payload: resetSession, ok: p.ok()}
		}
	case 7:
		return simCommand{payload: ping, ok: p.ok()}
	case 8:
		return simCommand{payload: Query("SELECT LAST_INSERT_ID()"), rows: rowsAre(strconv.FormatUint(p.insertID, 10))}
	case 9, 10:
		if found >= 0 {
			return simCommand{payload: Query("SELECT FOUND_ROWS()"), rows: rowsAre(strconv.Itoa(found))}
		}
	case 11, 12:
		if last != "" {
			return simCommand{payload: Query("SHOW WARNINGS"), rows: rowsAre("about " + last)}
		}
	}
	id := strconv.Itoa(p.id)
	atPrimary := rowsAre(simRows("p", id, number, p.mode, p.db)...)
	atReplica := rowsAre(simRows("r", id, number, p.mode, p.db)...)
	home := p.open || len(p.temps) > 0 || n%23 == 3 || n%23 == 4
	p.found, p.last = 1+n%4, number
	return simCommand{payload: Query(fmt.Sprintf("SELECT v FROM t WHERE c=%d AND n=%d", p.id, n)), rows: func(got []string) error {
		if !home && len(got) > 0 && got[0][0] == 'r' {
			simReads.Add(1)
			return atReplica(got)
		}
		return atPrimary(got)
	}}
}

// simReads are the reads that replicas have answered.
var simReads atomic.Int64

// lost tells whether what came is of a session that has ended.
func (p *simPlayer) lost(pkt packet.Packet) bool {
	return len(pkt.Payload()) > 3 && (isERR(pkt, 2013) || isERR(pkt, 1105))
}

// hears reads what comes back for a command and compares.
func (p *simPlayer) hears(cmd simCommand) error {
	first, err := p.c.ReadPacket()
	if err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	switch {
	case p.lost(first):
		return errCut
	case cmd.fails:
		if first.Seq() != 1 || first.Payload()[0] != 0xff {
			return fmt.Errorf("% x, want an ERR", first)
		}
		return nil
	case cmd.rows == nil:
		if string(first) != string(cmd.ok) {
			return fmt.Errorf("% x, want % x", first, cmd.ok)
		}
		return nil
	}
	skip := 1
	if p.caps&packet.CapDeprecateEOF == 0 {
		skip = 2
	}
	var rows []string
	for seq := byte(1); ; seq++ {
		if first.Seq() != seq || len(first.Payload()) == 0 {
			return fmt.Errorf("% x, want packet %d", first[:min(len(first), 64)], seq)
		}
		switch head := first.Payload()[0]; {
		case head == 0xff:
			if p.lost(first) {
				return errCut
			}
			return fmt.Errorf("an ERR: %q", first)
		case seq == 1 && first.PayloadLen() != 1:
			return fmt.Errorf("% x, want a count of columns", first)
		case int(seq) <= 1+skip:
		case head == 0xfe && first.PayloadLen() < 9:
			return cmd.rows(rows)
		default:
			v, _, err := packet.TextValue(first.Payload())
			if err != nil {
				return fmt.Errorf("a row: %w", err)
			}
			rows = append(rows, string(v))
		}
		if first, err = p.c.ReadPacket(); err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
	}
}

// plays sends commands, some of them at once, and compares what comes back.
func (p *simPlayer) plays() error {
	for range 1 + p.rng.IntN(20) {
		p.past = append(p.past, "/")
		var batch []byte
		var commands []simCommand
		for range 1 + p.rng.IntN(1<<p.rng.IntN(5)) {
			cmd := p.next()
			p.past = append(p.past, fmt.Sprintf("%q", cmd.payload))
			batch, commands = packet.AppendPacket(batch, 0, cmd.payload), append(commands, cmd)
		}
		written := make(chan error, 1)
		go func() { _, err := p.c.Write(batch); written <- err }()
		for i, cmd := range commands {
			if err := p.hears(cmd); err != nil {
				p.c.Close()
				<-written
				past := p.past[:len(p.past)-len(commands)+i]
				return fmt.Errorf("command %d of %d, %q behind %s: %w", i, len(commands), cmd.payload, past[max(0, len(past)-10):], err)
			}
		}
		if err := <-written; err != nil {
			return fmt.Errorf("%w: %w", errCut, err)
		}
		if p.rng.IntN(6) == 0 {
			time.Sleep(time.Duration(p.rng.IntN(200)) * time.Millisecond) // it may rest
		}
	}
	if p.rng.IntN(2) == 0 {
		return p.c.Run(SendPacket(0, []byte{byte(packet.ComQuit)}), ExpectEnd())
	}
	return nil
}

// Clients whose reads go to replicas get right answers, from a side that may give
// them, whatever else they do, and whatever becomes of the replicas.
func TestSimulationOfSplitting(t *testing.T) {
	lasts, seed := simSettings(t)
	for _, tc := range []struct {
		name      string
		multiplex bool
		replicas  int // how their wires reset
		all       int // how the others do
		secret    bool
		client    packet.Capability
		server    packet.Capability
		sessions  int // at most, with one server
	}{
		{name: "direct"}, {name: "replicas that reset", replicas: 6}, {name: "wires that reset", replicas: 3, all: 3},
		{name: "TLS", secret: true}, {name: "compression", client: packet.CapCompress, server: packet.CapZstd},
		{name: "multiplexing", multiplex: true}, {name: "multiplexing on wires that reset", multiplex: true, replicas: 3, all: 3},
		{name: "few sessions", multiplex: true, sessions: 3}, {name: "few sessions on wires that reset", multiplex: true, sessions: 3, replicas: 3, all: 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t).inTime()
			cluster := &simCluster{caps: ModernCaps | packet.CapConnectWithDB | tc.server, packs: tc.server, secret: tc.secret, written: map[int]uint64{}}
			var failed atomic.Bool
			report := func(who string, err error) {
				if err == nil || tc.replicas > 0 && errors.Is(err, errCut) { // in the middle of a response too
					return
				}
				failed.Store(true)
				w.Errorf("seed %d, %s: %v", seed, who, err)
			}
			wire := func(to net.Addr, salt uint64, reset int) net.Addr {
				if tc.replicas == 0 {
					reset = 0
				}
				v := NewWire(t, to, WireConfig{Seed: seed + salt, Chunk: 8 << 10, Stall: 2 * time.Millisecond, Reset: reset})
				w.Cleanup(v.Close)
				return v.Addr()
			}
			server := func(replica int, reset int) net.Addr {
				s := w.serverOf(func(i int, c *Conn) error {
					s := &simSession{simCluster: cluster, c: c, replica: replica, caps: cluster.caps, temps: map[string]bool{}, rng: rand.New(rand.NewPCG(seed, uint64(i)))}
					report(fmt.Sprintf("server %d, connection %d", replica, i), s.serve())
					return nil
				})
				return wire(s.Addr(), uint64(replica+10), reset)
			}
			cfg := w.config(server(-1, tc.all), server(0, tc.replicas), server(1, tc.replicas))
			cfg.Backends[1].ReadOnly, cfg.Backends[2].ReadOnly = true, true
			asEverybody(&cfg)
			if tc.multiplex {
				multiplexed(&cfg)
			}
			fewSessions(tc.sessions, Patience)(&cfg)
			cfg.Loops = 1 + tc.sessions/2
			if tc.secret {
				withTLS(TLSRequire, TLSSame)(&cfg)
			}
			compressing(tc.client, tc.server)(&cfg)
			w.start(cfg)
			front := wire(w.front(), 20, tc.all)
			var clients sync.WaitGroup
			var sessions, ids atomic.Int64
			simReads.Store(0)
			goes := simGoes(lasts/3, func() bool { return simReads.Load() > 0 })
			for i := range 6 {
				clients.Add(1)
				go func() {
					defer clients.Done()
					for n := uint64(0); goes() && !failed.Load(); n++ {
						for _, b := range w.proxy.Backends() {
							b.set(BackendUnknown, "") // a reset greeting puts it down
						}
						c, err := Dial(front, "client")
						if tc.all > 0 && errors.Is(err, syscall.ECONNRESET) {
							continue // the wire was as quick as the connect
						}
						if err != nil {
							report("dial", err)
							return
						}
						rng := rand.New(rand.NewPCG(seed, uint64(i)<<32|n))
						p := &simPlayer{c: c, id: int(ids.Add(1)), rng: rng, temps: map[string]bool{}, found: -1}
						p.caps = []packet.Capability{Caps, ModernCaps, Caps | packet.CapDeprecateEOF, Caps | packet.CapSessionTrack}[rng.IntN(4)]
						if err = p.enters(tc.secret, tc.client); err == nil {
							err = p.plays()
						}
						report(fmt.Sprintf("client %d session %d", i, n), err)
						c.Close()
						sessions.Add(1)
					}
				}()
			}
			clients.Wait()
			if simReads.Load() == 0 {
				t.Errorf("seed %d: no replica has answered anything", seed)
			}
			eventually(t, "the end of all sessions", func() error {
				for _, b := range w.proxy.Backends() {
					if n := b.Clients(); n > 0 {
						return fmt.Errorf("%d clients are counted at %s", n, b.Addr)
					}
				}
				return nil
			})
			w.stop() // wires end when nobody has connections through them
			t.Logf("%d sessions, %d reads from replicas", sessions.Load(), simReads.Load())
		})
	}
}

// enters logs in.
func (p *simPlayer) enters(secret bool, packs packet.Capability) error {
	l, seq := Login(p.caps|packs), byte(1)
	l.ZstdLevel = 3
	greeting := ExpectWhere("a greeting", func(packet.Packet) error { return nil })
	list := steps(greeting)
	shown := ModernCaps | packet.CapConnectWithDB | packs
	if secret {
		shown |= packet.CapSSL
		l.Capabilities |= packet.CapSSL
		list = append(list, SendPacket(1, sslRequest(Login(p.caps))), StartTLS(ClientTLS(), false))
		seq = 2
	}
	list = append(list, SendPacket(seq, l.Append(nil, shown)), ExpectPacket(seq+1, OK(0)))
	if packs != 0 {
		list = append(list, CompressAtOnce(packs, false))
	}
	if err := p.c.Run(list...); err != nil {
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}
