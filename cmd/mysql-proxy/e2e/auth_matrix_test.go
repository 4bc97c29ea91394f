package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Every account through every pair of connections: who is let in, by which
// words of the server's, who is refused and by which error, and that no password
// is ever readable where its client has not made it so.

// The ways a client connects.
const (
	overTCP = iota
	overTLS
	overSocket
	overWays
)

var overNames = [overWays]string{"plain", "TLS", "socket"}

// front is an address that clients connect to, and what is behind it.
type front struct {
	name     string
	tcp      string
	socket   string
	tls      func(over int) bool // whether the connection to the server has TLS then
	local    bool                // it is a socket
	pooled   bool                // a login gets the connection that another one left
	recorder *recorder           // nil: there is nothing between proxy and server

	// pool is whoever may take what others have left, one at a time: who leaves a
	// connection and then wants one finds one.
	pool sync.Mutex

	mu      sync.Mutex
	left    map[string]bool // the ids of connections that somebody was logged in on, and may have given back
	inClear map[string]int  // how often clients have themselves sent a password as it is, without TLS
}

func (f *front) way(over int) (addr string, how layers) {
	switch over {
	case overTLS:
		return f.tcp, layers{tls: anyServer()}
	case overSocket:
		return f.socket, layers{unix: true}
	}
	return f.tcp, layers{}
}

// safe tells whether the connections on either side are.
func (f *front) safe(over int) (client, server bool) {
	return over != overTCP, f.local || f.tls(over)
}

// account is a user and what a right login of it comes to, where nothing is
// between it and the server but one connection.
type account struct {
	user
	want string // OK, or the ERR
}

func (a account) uses(plugin string) bool { return a.Plugin == plugin && a.Password != "" }

func accounts() (list []account) {
	locked, expired := "ERR 4151", "OK" // MariaDB lets in who then may do nothing but set a password
	if bed.mysql() {
		locked, expired = "ERR 3118", "ERR 1862"
	}
	u := bed.Users
	for _, a := range []account{
		{u.App, "OK"}, {u.Empty, "OK"}, {u.Native, "OK"}, {u.Ed25519, "OK"}, {u.SHA2, "OK"}, {u.SHA256, "OK"},
		{u.Parsec, "OK"}, {u.Dialog, "OK"}, {u.TLS, "OK"}, {u.Locked, locked}, {u.Expired, expired},
		{user{"nobody", "password-of-nobody", u.App.Plugin}, "ERR 1045"},
	} {
		if a.Name != "" {
			list = append(list, a)
		}
	}
	return list
}

// want is what a login or a COM_CHANGE_USER comes to.
func (f *front) want(over int, a account, wrong bool) string {
	client, server := f.safe(over)
	switch {
	case a.user == bed.Users.Dialog && client && !server && f.recorder != nil:
		return "ERR 1105 (proxy) the account's plugin would send the password readable to the backend; set --backend-tls="
	case wrong, a.user == bed.Users.TLS && !f.tls(over):
		return "ERR 1045"
	}
	return a.want
}

func TestAuthenticationMatrix(t *testing.T) {
	if relayOnly {
		t.Fatal("a relay translates nothing")
	}
	onEveryFlavour(t, func(t *testing.T) {
		m := &matrix{admin: adminExec(t), publicKey: serverKey(t), turns: make(chan struct{}, 60)}
		var wg sync.WaitGroup
		for _, f := range fronts(t) {
			wg.Go(func() { m.through(t, f) })
		}
		wg.Wait()
		t.Logf("%d cells", m.cells)
	})
}

// matrix is one flavour's. Cells run side by side, for MariaDB takes a second to
// refuse a COM_CHANGE_USER. Those about the cache of caching_sha2_password,
// which is emptied for them, run alone.
type matrix struct {
	admin     func(statement string)
	publicKey []byte // MySQL's
	turns     chan struct{}

	cold  sync.RWMutex
	mu    sync.Mutex
	cells int
}

func adminExec(t *testing.T) func(string) {
	db := adminDB(t)
	return func(statement string) {
		if _, err := db.Exec(statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func serverKey(t *testing.T) []byte {
	t.Helper()
	if !bed.mysql() {
		return nil
	}
	b, err := os.ReadFile(filepath.Join(bed.Primary.DataDir, "public_key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fronts are the server itself and the proxies before it.
func fronts(t *testing.T) []*front {
	t.Helper()
	never := func(int) bool { return false }
	always := func(int) bool { return true }
	same := func(over int) bool { return over == overTLS }
	dir, err := os.MkdirTemp("", "e2e-") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	silent := filepath.Join(dir, "silent.lua")
	writeScript(t, silent, "function read_query(packet) end\n")
	pool, err := filepath.Abs("../../../scripts/tutorial-6-pool.lua")
	if err != nil {
		t.Fatal(err)
	}
	list := []*front{{name: "directly", tcp: bed.Primary.Addr, socket: bed.Primary.Socket, tls: same}}
	add := func(name, script, backendTLS string, tls func(int) bool, local bool) {
		f := &front{name: name, tls: tls, local: local, pooled: script == pool, inClear: map[string]int{}, left: map[string]bool{}}
		f.socket = filepath.Join(dir, fmt.Sprint(len(list)))
		backend := bed.Primary.Socket
		if !local {
			f.recorder = startRecorder(t, bed.Primary.Addr)
			backend = f.recorder.addr
		}
		args := []string{"-P", f.socket, "--backend-tls=" + backendTLS, "--event-threads=1"}
		if script != "" {
			args = append(args, "--proxy-lua-script="+script)
		}
		f.tcp = startProxy(t, []string{backend}, args...).addr
		list = append(list, f)
	}
	add("plain to the server", "", "off", never, false)
	add("TLS to the server", "", "require", always, false)
	add("same to the server", "", "same", same, false)
	add("socket to the server", "", "require", never, true)
	add("script, plain to the server", silent, "off", never, false)
	add("script, TLS to the server", silent, "require", always, false)
	add("pool, plain to the server", pool, "off", never, false)
	add("pool, TLS to the server", pool, "require", always, false)
	add("pool, socket to the server", pool, "same", never, true)
	return list
}

// turn runs a cell when it is its turn, alone if need be.
func (m *matrix) turn(alone bool, cell func()) {
	m.turns <- struct{}{}
	defer func() { <-m.turns }()
	lock := m.cold.RLocker()
	if alone {
		lock = &m.cold
	}
	lock.Lock()
	defer lock.Unlock()
	cell()
}

// through runs all cells of one front.
func (m *matrix) through(t *testing.T, f *front) {
	var wg sync.WaitGroup
	for over := range overWays {
		var list []account
		for _, a := range accounts() {
			if f.pooled && a.user == bed.Users.Expired && a.want == "OK" {
				continue // what it leaves is of no use to others: they have to set a password
			}
			cell := func(what func(t *testing.T, f *front, over int, a account)) {
				wg.Go(func() { m.turn(false, func() { what(t, f, over, a) }) })
			}
			cell(m.wrongLogins)
			cell(m.wrongChange)
			list = append(list, a)
		}
		for alone, list := range byCache(list) {
			wg.Go(func() { m.turn(alone, func() { m.logins(t, f, over, list) }) })
			wg.Go(func() { m.turn(alone, func() { m.changes(t, f, over, list) }) })
		}
	}
	wg.Wait()
	if f.recorder == nil {
		return
	}
	if f.recorder.connections() == 0 {
		t.Errorf("%s: the recorder saw no connection", f.name)
	}
	for _, a := range accounts() {
		if a.Password == "" {
			continue
		}
		most := 0
		if !f.tls(overTCP) {
			most = f.inClear[a.Password]
		}
		if n := f.recorder.count(a.Password); n > most {
			t.Errorf("%s: the password of %s was readable on the way to the server %d times, want at most %d", f.name, a.Name, n, most)
		}
	}
}

// cached tells whether the server keeps something of an account from one login
// to the next.
func cached(a account) bool { return a.uses(pluginSHA2) && bed.mysql() }

// byCache parts accounts into those that are cached and those that are not.
func byCache(list []account) map[bool][]account {
	parts := map[bool][]account{}
	for _, a := range list {
		parts[cached(a)] = append(parts[cached(a)], a)
	}
	return parts
}

// trial is a login or a change, and what it has to come to.
type trial struct {
	account
	what string
	own  string // the plugin that the client names if not empty
	want string
	full bool // the server has to ask for the password itself
}

// cold and warm are the trials of accounts of which the server has nothing in its
// cache, and all.
func cold(f *front, over int, list []account) (trials []trial) {
	for _, a := range list {
		trials = append(trials, trial{a, "cold cache", "", f.want(over, a, false), cached(a)})
	}
	return trials
}

func warm(f *front, over int, list []account) (trials []trial) {
	for _, a := range list {
		trials = append(trials, trial{a, "warm cache", named(a), f.want(over, a, false), false})
	}
	return trials
}

func (m *matrix) logins(t *testing.T, f *front, over int, list []account) {
	m.login(t, f, over, cold(f, over, list))
	m.login(t, f, over, warm(f, over, list))
}

func (m *matrix) changes(t *testing.T, f *front, over int, list []account) {
	m.change(t, f, over, cold(f, over, list))
	m.change(t, f, over, warm(f, over, list))
}

func (m *matrix) wrongLogins(t *testing.T, f *front, over int, a account) {
	want := f.want(over, a, true)
	a.Password = "not the right one"
	m.login(t, f, over, []trial{{a, "wrong password", named(a), want, false}})
	if a.uses(pluginSHA2) || a.uses(pluginSHA256) {
		m.login(t, f, over, []trial{{a, "wrong password", "", want, false}})
	}
}

func (m *matrix) wrongChange(t *testing.T, f *front, over int, a account) {
	want := f.want(over, a, true)
	a.Password = "not the right one"
	m.change(t, f, over, []trial{{a, "wrong password", named(a), want, false}})
}

// try runs trials side by side: it readies a session for each, which is nil where that
// fails, has the server forget what it keeps if it is to ask for passwords, and then
// has the trials.
func (m *matrix) try(trials []trial, ready func(trial) *layered, have func(trial, *layered)) {
	sessions := make([]*layered, len(trials))
	var wg sync.WaitGroup
	for i, tr := range trials {
		wg.Go(func() { sessions[i] = ready(tr) })
	}
	wg.Wait()
	if trials[0].full {
		m.forget()
	}
	for i, tr := range trials {
		if s := sessions[i]; s != nil {
			wg.Go(func() { have(tr, s) })
		}
	}
	wg.Wait()
}

// named is the plugin that a client names which knows what the account has.
func named(a account) string {
	if _, ok := firstAnswer(a.Plugin, "", make([]byte, 32)); !ok {
		return "" // the server's name for it is not that in the protocol
	}
	return a.Plugin
}

// forget empties the server's cache of caching_sha2_password.
func (m *matrix) forget() { m.admin("FLUSH NO_WRITE_TO_BINLOG PRIVILEGES") }

// login tries logins.
func (m *matrix) login(t *testing.T, f *front, over int, trials []trial) {
	addr, how := f.way(over)
	m.try(trials, func(tr trial) *layered {
		how := how
		how.ownPlugin = tr.own
		s, said := m.greeted(t, f, addr, how)
		if s == nil {
			t.Errorf("%s: %s, %s, %s: no greeting: %s", f.name, overNames[over], tr.Name, tr.what, said)
		}
		return s
	}, func(tr trial, s *layered) {
		said := s.login(login{user: tr.Name, password: tr.Password, caps: capsBase &^ capConnectWithDB})
		m.judge(t, f, over, tr, "login", said, s)
	})
}

// change tries the same by COM_CHANGE_USER.
func (m *matrix) change(t *testing.T, f *front, over int, trials []trial) {
	addr, how := f.way(over)
	m.try(trials, func(tr trial) *layered {
		f.pool.Lock()
		s, said := f.asApp(t, addr, how)
		f.pool.Unlock()
		if s == nil {
			t.Errorf("%s: %s, before a change to %s: %s", f.name, overNames[over], tr.Name, said)
			return nil
		}
		if s.ownPlugin, s.inClear = tr.own, 0; tr.own == "" {
			s.ownPlugin = bed.Users.App.Plugin
		}
		return s
	}, func(tr trial, s *layered) {
		m.judge(t, f, over, tr, "change", s.changeUser(tr.user, ""), s)
	})
}

// asApp logs app in.
func (f *front) asApp(t *testing.T, addr string, how layers) (s *layered, said string) {
	app := bed.Users.App
	if s, said = loginLayers(t, addr, how, login{user: app.Name, password: app.Password, caps: capsBase &^ capConnectWithDB}); s != nil {
		f.has(s)
	}
	return s, said
}

// has notes the connection that a session is on, which it may leave.
func (f *front) has(s *layered) {
	if !f.pooled {
		return
	}
	id := s.ask("SELECT CONNECTION_ID()") // it need not be that of the greeting
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left[id] = true
}

// greeted connects as far as the greeting: of a connection that was left by
// another client, where f has a pool.
func (m *matrix) greeted(t *testing.T, f *front, addr string, how layers) (*layered, string) {
	if !f.pooled {
		return dialLayers(t, addr, how)
	}
	f.pool.Lock()
	defer f.pool.Unlock()
	first, said := f.asApp(t, addr, how)
	if first == nil {
		return nil, "before it: " + said
	}
	first.quit()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) { // the proxy may not have heard of it yet
		s, said := dialLayers(t, addr, how)
		if s == nil {
			return nil, said
		}
		f.mu.Lock()
		was := f.left[fmt.Sprint(s.threadID)]
		f.mu.Unlock()
		if was {
			return s, ""
		}
		s.nc.Close()
	}
	return nil, "no connection that was left was taken again"
}

// judge looks at how a trial, by a login or a change, went.
func (m *matrix) judge(t *testing.T, f *front, over int, tr trial, by, said string, s *layered) {
	defer s.nc.Close()
	m.mu.Lock()
	m.cells++
	m.mu.Unlock()
	f.mu.Lock()
	if f.inClear != nil {
		f.inClear[tr.Password] += s.inClear
	}
	f.mu.Unlock()
	where := fmt.Sprintf("%s: %s, %s (%s), %s, %s, %s", f.name, overNames[over], tr.Name, tr.Plugin, by, tr.what, tr.own)
	if !strings.HasPrefix(said, tr.want) {
		t.Errorf("%s: got %q, want %q", where, said, tr.want)
		return
	}
	if tr.want != "OK" {
		return
	}
	if s.full != tr.full && tr.uses(pluginSHA2) && bed.mysql() {
		t.Errorf("%s: the server asked for the password itself: %v, want %v", where, s.full, tr.full)
	}
	me := tr.Name + "@%"
	if tr.user == bed.Users.Expired {
		me = "ERR 1820" // it may set a new password, nothing else
	}
	if got := s.ask("SELECT CURRENT_USER()"); got != me {
		t.Errorf("%s: CURRENT_USER() is %q, want %q", where, got, me)
	}
	f.has(s)
	s.quit()
}
