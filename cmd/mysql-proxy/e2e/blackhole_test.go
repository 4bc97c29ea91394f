package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// island is a network of its own (a namespace of the kernel), with servers in it. A
// pair of virtual cables leads there. What a server sends can be made to vanish: to
// whoever talks to it that is a host whose power, or cable, is gone. No connection is
// closed or refused, nothing is answered any more.
type island struct {
	name  string
	addrs []string // of servers
	bed   *testbed
}

// newIsland starts a primary and a replica on an island, each with an address of its
// own, and has bed be these.
func newIsland(t *testing.T) *island {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("to make a network namespace takes root")
	}
	n := os.Getpid()
	i := &island{name: fmt.Sprintf("e2e%d", n)}
	net := fmt.Sprintf("10.231.%d.", n%256)
	here, there := fmt.Sprintf("e2e%da", n), fmt.Sprintf("e2e%db", n)
	i.addrs = []string{net + "2", net + "3"}
	ip(t, "netns", "add", i.name)
	t.Cleanup(func() { ip(t, "netns", "del", i.name) }) // and the cables with it
	ip(t, "link", "add", here, "type", "veth", "peer", "name", there, "netns", i.name)
	ip(t, "addr", "add", net+"1/24", "dev", here)
	ip(t, "link", "set", here, "up")
	for _, a := range i.addrs {
		ip(t, "-n", i.name, "addr", "add", a+"/24", "dev", there)
	}
	ip(t, "-n", i.name, "link", "set", there, "up")
	ip(t, "-n", i.name, "link", "set", "lo", "up")

	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", i.name, filepath.Join(binDir, "testbed"))
	if err := os.WriteFile(filepath.Join(dir, "testbed"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	own := startsTestbed(t, dir, "--replicas=1", "--option=bind-address=0.0.0.0")
	for k, s := range []*server{&own.Primary, &own.Replicas[0]} {
		s.Host, s.Addr = i.addrs[k], fmt.Sprintf("%s:%d", i.addrs[k], s.Port)
	}
	takePlace(t, own)
	i.bed = own
	return i
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// cut has all vanish that a server sends, heal ends that.
func (i *island) cut(t *testing.T, s server) {
	t.Helper()
	ip(t, "-n", i.name, "rule", "add", "from", s.Host, "blackhole")
}

func (i *island) heal(t *testing.T, s server) {
	t.Helper()
	ip(t, "-n", i.name, "rule", "del", "from", s.Host, "blackhole")
}

func TestBlackHoles(t *testing.T) {
	i := newIsland(t)
	primary, replica := bed.Primary, bed.Replicas[0]
	// A server that is only slow must not be taken for one that is gone: what a client
	// had under way there would be in doubt.
	p := startProxy(t, []string{primary.Addr}, append(readyForProbes(t), "-r", replica.Addr, "--failover-wait=300", "--health-timeout=4", "--log-level=debug", usersFile(t))...)
	createLedger(t)
	eventually(t, 20*time.Second, "the replica has the table", func() bool { return hasLedger(t, replica) })

	t.Run("the replica", func(t *testing.T) {
		r, end := startReads(t, p)
		defer end()
		l := startLedger(t, p.addr)
		r.goOn(t)
		p.told(t, 0, " route ", "backend="+replica.Addr, "reason=read")
		since, at := p.logEnd(), time.Now()
		i.cut(t, replica)
		p.told(t, since, "backend is down", replica.Addr)
		t.Logf("seen after %v", time.Since(at))
		r.goOn(t)
		since = p.logEnd()
		i.heal(t, replica)
		p.told(t, since, "backend is up", replica.Addr)
		p.told(t, since, " route ", "backend="+replica.Addr, "reason=read")
		r.goOn(t)
		end()
		l.goesOn(time.Now())
		l.end()
		l.wantNoDoubt()
	})
	t.Run("the primary", func(t *testing.T) {
		mustExec(t, "DELETE FROM "+bed.Database+".ledger")
		l := startLedger(t, p.addr)
		l.goesOn(time.Now())
		idle, open := openSession(t, p.addr), openSession(t, p.addr)
		idle.mustAsk("SELECT 1", "1")
		open.mustAsk("BEGIN", "OK")
		open.mustAsk("SELECT @@server_id", "1")
		waits := openSession(t, p.addr)
		since, at := p.logEnd(), time.Now()
		i.cut(t, primary)
		open.start("SELECT COUNT(*) FROM items")
		if got := open.answer(); got != "ERR 2013" && got != "closed" && got != "ERR 2013, closed" {
			t.Errorf("in a transaction a client hears %q, want ERR 2013 or a close", got)
		}
		t.Logf("a client heard of it after %v", time.Since(at))
		p.told(t, since, "backend is down", primary.Addr)
		waits.start("INSERT INTO ledger VALUES (-1, -1)") // waits for a primary
		p.told(t, since, "clients wait for one")
		since, at = p.logEnd(), time.Now()
		i.heal(t, primary)
		p.told(t, since, "backend is up", primary.Addr)
		t.Logf("seen to be back after %v", time.Since(at))
		if got := waits.answer(); got != "OK" {
			t.Errorf("the write that has waited: %q", got)
		}
		idle.mustAsk("DELETE FROM ledger WHERE id = -1", "OK")
		l.goesOn(time.Now())
		l.end()
		l.check(primary)
	})
}

// A server whose process is stopped: the kernel goes on to take connections for it.
func TestStoppedPrimary(t *testing.T) {
	ownTestbed(t, "--replicas=1")
	primary := bed.Primary
	options := append(readyForProbes(t), "--failover-wait=300", usersFile(t))
	for name, args := range map[string][]string{
		"plain sessions":      nil,
		"sessions that split": {"-r", bed.Replicas[0].Addr},
	} {
		t.Run(name, func(t *testing.T) {
			p := startProxy(t, []string{primary.Addr}, append(args, options...)...)
			open := openSession(t, p.addr)
			open.mustAsk("BEGIN", "OK")
			since, at := p.logEnd(), time.Now()
			bed.control(t, "pause "+primary.Name)
			goesOn := func() { bed.control(t, "resume "+primary.Name) }
			defer func() { goesOn() }() // it cannot be stopped otherwise
			open.start("INSERT INTO notes (body) VALUES ('lost')")
			if got := open.answer(); got != "ERR 2013" && got != "closed" && got != "ERR 2013, closed" {
				t.Errorf("a client hears %q, want ERR 2013 or a close", got)
			}
			t.Logf("a client heard of it after %v", time.Since(at))
			p.told(t, since, "backend is down", primary.Addr)
			done := make(chan error, 1)
			go func() {
				_, err := trySession(t, p.addr, bed.Users.App)
				done <- err
			}()
			p.told(t, since, "clients wait for one")
			goesOn()
			goesOn = func() {}
			if err := <-done; err != nil {
				t.Errorf("a client that came meanwhile: %v", err)
			}
		})
	}
}
