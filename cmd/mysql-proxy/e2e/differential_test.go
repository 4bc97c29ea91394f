package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The differential test plays random scripts twice, directly on the primary and
// through the proxy, and compares all that comes back. See E2E_SEED and
// E2E_SCRIPT to play one of them.

// mode is a way to run the proxy.
type mode struct {
	name     string
	replicas int      // read-only backends; the last one of several lags
	players  int      // scripts at a time
	scripts  uint64   // of fixed seeds, for each flavour
	args     []string // further options
}

var differentialModes = modesFrom(os.Getenv("E2E_MODE"))

func modesFrom(only string) (list []mode) {
	for _, m := range []mode{
		{name: "plain", players: 3, scripts: 16},
		{name: "splitting", replicas: 2, players: 12, scripts: 12},
		{name: "multiplexing", replicas: 2, players: 12, scripts: 12, args: []string{"--multiplex=on", "--multiplex-delay=0"}},
		// One session with each server for all clients: who has one that nobody else can have keeps the others waiting.
		{name: "pool-of-one", replicas: 2, players: 3, scripts: 3, args: []string{"--multiplex=on", "--multiplex-delay=0", "--pool-max-sessions=1", "--pool-wait=" + seconds(patience)}},
	} {
		if m.name == only || only == "" {
			list = append(list, m)
		}
	}
	return list
}

const scriptLength = 200

// longPlay is how long new seeds are played in one mode: one, unless the run is
// a long one or E2E_PLAY says how long.
func longPlay() time.Duration {
	if d, err := time.ParseDuration(os.Getenv("E2E_PLAY")); err == nil {
		return d
	}
	if long {
		return 10 * time.Minute
	}
	return 0
}

func TestDifferential(t *testing.T) {
	usual := bed
	defer func() { bed = usual }()
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			replicas := 0
			for _, m := range differentialModes {
				replicas = max(replicas, m.replicas)
			}
			own, err := startTestbed(binDir, "--flavour="+f.name, "--replicas="+strconv.Itoa(replicas),
				"--option=log-bin-trust-function-creators=1",
				"--option=binlog-format=ROW") // a statement may do another thing at a replica: div_precision_increment is not replicated
			if own != nil {
				defer own.stop()
			}
			if err != nil {
				t.Fatal(err)
			}
			bed = own
			prepareServers(t)
			for _, m := range differentialModes {
				t.Run(m.name, func(t *testing.T) { differential(t, m) })
			}
		})
	}
}

// prepareServers makes what scripts only read, and bounds what a script can
// wait for locks that it holds itself.
func prepareServers(t *testing.T) {
	t.Helper()
	execAll(t, adminDB(t), append([]string{
		"SET GLOBAL innodb_lock_wait_timeout = 1", "SET GLOBAL lock_wait_timeout = 2"}, readOnlySQL...)...)
	for _, r := range bed.Replicas {
		db := openDB(t, r.Addr, bed.Users.App, "", "")
		eventually(t, 30*time.Second, r.Name+" has what the primary has", func() bool {
			var n int
			return db.QueryRow("SELECT COUNT(*) FROM "+readOnlyDB+".t1").Scan(&n) == nil && n == 3
		})
	}
}

// differential plays scripts in one mode.
func differential(t *testing.T, m mode) {
	args := m.args
	for _, r := range bed.Replicas[:m.replicas] {
		args = append(args, "-r", r.Addr)
	}
	p := startProxy(t, []string{bed.Primary.Addr}, args...)
	a := newArena(t, bed, p.addr)
	defer a.stop()
	a.players, a.shares = m.players, slices.Contains(m.args, "--multiplex=on")
	if m.replicas > 0 {
		defer readsAtReplicas(t, m.replicas)()
		a.tracks = true
		// Longer than reads stay with the primary once a replica was behind.
		a.pause = 120 * time.Millisecond
		a.withholds = extCacheMetadata                         // a statement may be prepared at two servers
		a.attrs = map[string]string{"_client_name": "pymysql"} // one that gives its password to whoever has a key
	}
	if m.replicas > 1 {
		defer lag(t, bed.Replicas[m.replicas-1])()
	}
	openSession(t, bed.Primary.Addr).nc.Close() // from here on the account is in the server's cache

	if file := os.Getenv("E2E_SCRIPT"); file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, err := parseScript(string(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range usableVariants() {
			if d := a.play(v, script); d != nil {
				t.Errorf("%s:\n%s", v.name, d)
			}
		}
		return
	}
	a.playSeeds(t, seedsToPlay(t, m.scripts))
}

// playSeeds plays the scripts of seeds, some at a time, up to the first
// difference, or as many as E2E_DIFFERENCES says.
func (a *arena) playSeeds(t *testing.T, seeds <-chan uint64) {
	t.Helper()
	wanted, err := strconv.Atoi(os.Getenv("E2E_DIFFERENCES"))
	if err != nil {
		wanted = 1
	}
	start := time.Now()
	var statements atomic.Int64
	var mu sync.Mutex
	found := map[uint64]*difference{}
	var wg sync.WaitGroup
	for range a.players {
		wg.Go(func() {
			for seed := range seeds {
				v, script := scriptOf(seed)
				d := a.play(v, script)
				statements.Add(int64(len(script)))
				mu.Lock()
				if d != nil {
					found[seed] = d
				}
				enough := len(found) >= wanted
				mu.Unlock()
				if enough {
					return
				}
			}
		})
	}
	wg.Wait()
	spent := time.Since(start)
	t.Logf("%d statements of scripts, each on both ways, in %v: %.0f a second", statements.Load(), spent.Round(time.Millisecond), float64(statements.Load())/spent.Seconds())
	for seed, d := range found {
		t.Error(a.report(t, seed, d))
	}
}

// seedsToPlay are n fixed seeds; in a long run, then new ones for as long as
// that lasts. What nobody has seen before is no test of a change.
func seedsToPlay(t *testing.T, n uint64) <-chan uint64 {
	t.Helper()
	seeds := make(chan uint64)
	if text := os.Getenv("E2E_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		go func() { seeds <- seed; close(seeds) }()
		return seeds
	}
	fresh := rand.Uint64N(1e9)
	t.Logf("the fixed seeds, in a long run then from %d on", fresh)
	stop := make(chan struct{})
	t.Cleanup(func() { close(stop) })
	go func() {
		defer close(seeds)
		send := func(seed uint64) bool {
			select {
			case seeds <- seed:
				return true
			case <-stop:
				return false
			}
		}
		for i := range n {
			if !send(i + 1) {
				return
			}
		}
		end := time.Now().Add(longPlay())
		for more := time.Now().Before(end); more && send(fresh); fresh++ {
			more = time.Now().Before(end)
		}
	}()
	return seeds
}

// usableVariants are the capabilities that the servers have.
func usableVariants() (list []variant) {
	for _, v := range variants {
		if !bed.mysql() || !strings.HasPrefix(v.name, "mariadb") {
			list = append(list, v)
		}
	}
	return list
}

// scriptOf is the script of a seed, with the capabilities it is played with.
func scriptOf(seed uint64) (variant, []step) {
	list := usableVariants()
	v := list[seed%uint64(len(list))]
	marks := []string{"mariadb"}
	if bed.mysql() {
		marks = []string{"mysql"}
	}
	if v.ext&extBulk != 0 {
		marks = append(marks, "bulk")
	}
	return v, newGenerator(seed, marks...).script(scriptLength)
}

// report shrinks a script that differs and shows it.
func (a *arena) report(t *testing.T, seed uint64, d *difference) string {
	v, script := scriptOf(seed)
	again := 0
	const times = 4
	for range times {
		if a.play(v, script) != nil {
			again++
		}
	}
	runs, tries := 400, 1
	if again < times {
		tries = 3
	}
	if d.proxied.note == "no answer in time" {
		a.limit = 2 * time.Second // each of many
	}
	if again > 0 {
		if _, last := shrink(script, func(s []step) *difference { return a.play(v, s) }, runs, tries); last != nil {
			d = last
		}
	}
	return fmt.Sprintf("seed %d, %s: it differs, and again in %d of %d runs. Shrunk:\n%s\nTo run it again: E2E_SEED=%d E2E_FLAVOUR=%s go test ./cmd/mysql-proxy/e2e -run '^%s$'",
		seed, v.name, again, times, d, seed, bed.Flavour, strings.ReplaceAll(t.Name(), "/", "$/^"))
}

// TestScriptLines holds that a script can be written down and read again: what
// a failure prints is a script that can be played.
func TestScriptLines(t *testing.T) {
	for seed := range uint64(200) {
		g := newGenerator(seed, [][]string{{"mariadb", "bulk"}, {"mysql"}}[seed%2]...)
		want := g.script(scriptLength)
		got, err := parseScript(listing(want))
		if err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if got[i].String() != want[i].String() || got[i].text != want[i].text || len(got[i].params) != len(want[i].params) {
				t.Fatalf("seed %d, step %d: got %+v, want %+v", seed, i, got[i], want[i])
			}
		}
	}
}

// TestDifferentialNotices holds that a byte that is wrong or missing is seen.
func TestDifferentialNotices(t *testing.T) {
	script := queries([]string{"SELECT REPEAT('x', 5000)", ":ping"})
	for what, change := range map[string]spoil{"": nil, "flipped": flipAt(1000), "dropped": dropAt(1000)} {
		a := newArena(t, bed, startRelay(t, bed.Primary.Addr, change))
		a.limit = time.Second
		d := a.play(variants[0], script)
		a.stop()
		if (d != nil) != (change != nil) {
			t.Errorf("byte 1000 of the server's stream %s: the difference is %v", what, d)
		}
	}
}

// TestShrink holds that shrinking finds the steps that matter.
func TestShrink(t *testing.T) {
	var script []step
	for i := range 100 {
		script = append(script, step{verb: "query", text: strconv.Itoa(i)})
	}
	plays := 0
	got, _ := shrink(script, func(s []step) *difference {
		plays++
		has := func(text string) bool {
			return slices.ContainsFunc(s, func(s step) bool { return s.text == text })
		}
		if has("7") && has("50") && has("51") {
			return &difference{}
		}
		return nil
	}, 500, 1)
	if l := listing(got); l != "7\n50\n51\n" {
		t.Errorf("after %d plays there remain:\n%s", plays, l)
	}
}
