package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"mysqlproxy/engine/enginetest"
)

// What monitoring is told, next to what clients have done.

// httpGet is the answer to a GET.
func httpGet(t *testing.T, addr, path string) (code int, body string) {
	t.Helper()
	r, err := http.Get("http://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}

// samples are the values of /metrics by name and labels, in the order of the
// labels' names; and without labels the sum over all of them.
func samples(t *testing.T, addr string) map[string]float64 {
	t.Helper()
	var body string
	eventually(t, patience, "the loops have answered", func() bool { // which they have two seconds for
		time.Sleep(300 * time.Millisecond) // what they said is told again for as long as a quarter of a second
		var code int
		code, body = httpGet(t, addr, "/metrics")
		return code == http.StatusOK
	})
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatalf("%v:\n%s", err, body)
	}
	all := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			v := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			if labels != nil {
				all[name+"{"+strings.Join(labels, ",")+"}"] = v
			}
			all[name] += v
		}
	}
	return all
}

// changes asks for what has changed, and is an error for what was not expected.
func wantChanges(t *testing.T, before, after map[string]float64, want map[string]float64) {
	t.Helper()
	for name, n := range want {
		if got := after[name] - before[name]; got != n {
			t.Errorf("%s has grown by %v, want %v", name, got, n)
		}
	}
}

// watched starts a proxy that splits, probes and answers HTTP. A server is down when
// connects are refused there, not when it is slow, as the replica may be behind for a
// while.
func watched(t *testing.T, args ...string) (p *proxy, addr string) {
	t.Helper()
	right := "REPLICA MONITOR"
	if bed.mysql() {
		right = "REPLICATION CLIENT"
	}
	mustExec(t, "DROP USER IF EXISTS 'watch'@'%'", "CREATE USER 'watch'@'%' IDENTIFIED BY '"+probePassword+"'", "GRANT "+right+" ON *.* TO 'watch'@'%'")
	t.Cleanup(func() { mustExec(t, "DROP USER 'watch'@'%'") })
	replica := bed.Replicas[0]
	eventually(t, 20*time.Second, "the replica has the probe's user", func() bool {
		db := openDB(t, replica.Addr, user{Name: "watch", Password: probePassword}, "", "")
		defer db.Close()
		return db.Ping() == nil
	})
	addr = enginetest.FreeAddr(t)
	return startProxy(t, []string{bed.Primary.Addr}, append([]string{"-r", replica.Addr, "--http-address=" + addr, "--health-user=watch", "--health-password=" + probePassword,
		"--health-timeout=60", "--max-replica-lag=600", "--failover-wait=300"}, args...)...), addr
}

// onlyConn is one connection through the proxy.
func onlyConn(t *testing.T, addr string) *sql.Conn {
	t.Helper()
	c, err := openDB(t, addr, bed.Users.App, bed.Database, "interpolateParams=true").Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func mustRun(t *testing.T, c *sql.Conn, statements ...string) {
	t.Helper()
	for _, q := range statements {
		if _, err := c.ExecContext(context.Background(), q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
}

func TestHTTP(t *testing.T) { onEveryKind(t, testHTTP) }

func testHTTP(t *testing.T) {
	primary, replica := bed.Primary.Addr, bed.Replicas[0].Addr
	p, addr := watched(t)
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		eventually(t, patience, path+" says "+want, func() bool {
			code, body := httpGet(t, addr, path)
			return code == 200 && body == want
		})
	}
	c := onlyConn(t, p.addr)
	read := "mysql_proxy_routed_commands_total{reason=read,route=replica}"
	eventually(t, 20*time.Second, "a read goes to the replica", func() bool {
		mustRun(t, c, "SELECT COUNT(*) FROM items")
		return samples(t, addr)[read] > 0
	})
	before := samples(t, addr)
	for range 7 {
		mustRun(t, c, "SELECT COUNT(*) FROM items WHERE id < 100")
	}
	mustRun(t, c, "BEGIN", "SELECT 1 FROM items LIMIT 1", "SELECT 2 FROM items LIMIT 1", "COMMIT")
	mustRun(t, c, "CREATE TEMPORARY TABLE of_http (a INT)", "INSERT INTO of_http VALUES (1)")
	after := samples(t, addr)
	wantChanges(t, before, after, map[string]float64{
		"mysql_proxy_commands_total":           13,
		"mysql_proxy_command_duration_seconds": 13, // the first of each digest are all timed
		"mysql_proxy_routed_commands_total":    13,
		read:                                   7,
		"mysql_proxy_routed_commands_total{reason=in_transaction,route=primary}": 2, // BEGIN and COMMIT say by themselves where they go
		"mysql_proxy_backend_commands_total{backend=" + replica + "}":            7,
		"mysql_proxy_backend_commands_total{backend=" + primary + "}":            6,
		"mysql_proxy_pinned_sessions{pin=temporary_table}":                       1,
		"mysql_proxy_sessions":                       0,
		"mysql_proxy_sessions_accepted_total":        0,
		"mysql_proxy_sessions_closed_total":          0,
		"mysql_proxy_split_brains_total":             0,
		"mysql_proxy_backend_connect_failures_total": 0,
	})
	for name, want := range map[string]float64{
		"mysql_proxy_ready":    1,
		"mysql_proxy_sessions": 1,
		"mysql_proxy_backend_leads{backend=" + primary + "}":              1,
		"mysql_proxy_backend_leads{backend=" + replica + "}":              0,
		"mysql_proxy_backend_state{backend=" + replica + ",state=up}":     1,
		"mysql_proxy_backend_health{backend=" + replica + ",health=good}": 1,
		"mysql_proxy_backend_info{backend=" + replica + ",type=ro}":       1,
		"mysql_proxy_backend_sessions{backend=" + replica + "}":           1,
		"mysql_proxy_backend_clients{backend=" + primary + "}":            1,
		"mysql_proxy_server_sessions":                                     2,
	} {
		if got, ok := after[name]; !ok || got != want {
			t.Errorf("%s is %v (there: %t), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{
		"mysql_proxy_backend_lag_seconds{backend=" + replica + "}",
		"mysql_proxy_backend_probe_latency_seconds{backend=" + primary + "}",
	} {
		if _, ok := after[name]; !ok {
			t.Errorf("%s is not told", name)
		}
	}
	if n, probes := after["mysql_proxy_backend_probe_duration_seconds"], after["mysql_proxy_backend_probes_total"]; n < 2 || n > probes {
		t.Errorf("%v of %v probes were timed", n, probes)
	}
	for _, dir := range []string{"received", "sent"} {
		client, backend := "mysql_proxy_client_"+dir+"_bytes_total", "mysql_proxy_backend_"+map[string]string{"received": "sent", "sent": "received"}[dir]+"_bytes_total"
		if d := after[client] - before[client]; d <= 0 || d > after[backend]-before[backend] {
			t.Errorf("%s has grown by %v, %s by %v: more than that", client, d, backend, after[backend]-before[backend])
		}
	}
	testHTTPStatus(t, addr, after)

	c.Close() // back to the pool of database/sql
	mustRun(t, onlyConn(t, p.addr), "DO 1")
	s := openSession(t, p.addr)
	s.mustAsk("DO 1", "OK")
	s.nc.Close()
	eventually(t, 20*time.Second, "the end of a session is counted", func() bool {
		return samples(t, addr)["mysql_proxy_sessions_closed_total{fault=nobody,reason=client_closed}"] == 1
	})
}

// testHTTPStatus compares /status.json with what /metrics told.
func testHTTPStatus(t *testing.T, addr string, told map[string]float64) {
	t.Helper()
	code, body := httpGet(t, addr, "/status.json")
	var d struct {
		Ready    bool
		Backends []struct {
			Address    string
			LagSeconds *float64 `json:"lag_seconds"`
			Commands   float64
		}
		Sessions struct{ Open, Accepted float64 }
		Routes   []struct {
			Route, Reason string
			Commands      float64
		}
		Events []struct{ Kind, Backend, To string }
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil || code != 200 {
		t.Fatalf("%d %v:\n%s", code, err, body)
	}
	if !d.Ready || len(d.Backends) != 2 || d.Backends[0].LagSeconds != nil || d.Backends[1].LagSeconds == nil ||
		d.Sessions.Open != told["mysql_proxy_sessions"] || d.Sessions.Accepted != told["mysql_proxy_sessions_accepted_total"] {
		t.Errorf("%s", body)
	}
	for _, b := range d.Backends {
		if want := told["mysql_proxy_backend_commands_total{backend="+b.Address+"}"]; b.Commands != want {
			t.Errorf("%s: %v commands, want %v", b.Address, b.Commands, want)
		}
	}
	for _, r := range d.Routes {
		if want := told[fmt.Sprintf("mysql_proxy_routed_commands_total{reason=%s,route=%s}", r.Reason, r.Route)]; r.Commands != want {
			t.Errorf("%s, %s: %v commands, want %v", r.Route, r.Reason, r.Commands, want)
		}
	}
	ups := 0
	for _, ev := range d.Events {
		if ev.Kind == "backend_state" && ev.To == "up" {
			ups++
		}
	}
	if ups != 2 {
		t.Errorf("%d events of backends that came up, want 2:\n%s", ups, body)
	}
}

// A primary that is killed costs readiness, not health, until it is back.
func TestReadyFollowsThePrimary(t *testing.T) {
	primary := bed.Primary
	p, addr := watched(t)
	eventually(t, 20*time.Second, "ready", func() bool {
		code, _ := httpGet(t, addr, "/readyz")
		return code == 200
	})
	bed.control(t, "kill "+primary.Name)
	eventually(t, 20*time.Second, "not ready without its primary", func() bool {
		code, body := httpGet(t, addr, "/readyz")
		return code == 503 && body == "not ready: no server takes writes\nnot ready: backend "+primary.Addr+" is down\n"
	})
	m := samples(t, addr)
	for name, want := range map[string]float64{
		"mysql_proxy_ready": 0,
		"mysql_proxy_backend_state{backend=" + primary.Addr + ",state=down}": 1,
		"mysql_proxy_backend_state{backend=" + primary.Addr + ",state=up}":   0,
	} {
		if m[name] != want {
			t.Errorf("%s is %v, want %v", name, m[name], want)
		}
	}
	if m["mysql_proxy_backend_probe_failures_total{backend="+primary.Addr+"}"] < 1 {
		t.Error("no failed probe is counted")
	}
	if code, body := httpGet(t, addr, "/healthz"); code != 200 {
		t.Errorf("/healthz: %d %s", code, body)
	}
	admitted := make(chan error, 1)
	db := openDB(t, p.addr, bed.Users.App, bed.Database, "")
	go func() { admitted <- db.Ping() }()
	eventually(t, 20*time.Second, "a client waits for it", func() bool {
		return samples(t, addr)["mysql_proxy_sessions_waiting_for_primary"] == 1
	})
	bed.control(t, "start "+primary.Name)
	if err := <-admitted; err != nil {
		t.Errorf("the client that has waited: %v", err)
	}
	eventually(t, 20*time.Second, "ready again", func() bool {
		code, body := httpGet(t, addr, "/readyz")
		return code == 200 && body == "ready\n"
	})
	if n := samples(t, addr)["mysql_proxy_sessions_waiting_for_primary"]; n != 0 {
		t.Errorf("%v clients wait still", n)
	}
}

// A primary that the operator takes out of use costs readiness, too.
func TestReadyFollowsTheOperator(t *testing.T) {
	admin := enginetest.FreeAddr(t)
	_, addr := watched(t, "--plugins=proxy,admin", "--admin-address="+admin, "--admin-username="+adminUser.Name, "--admin-password="+adminUser.Password)
	c := console{t, admin}
	duty := func(word string) string {
		return "mysql_proxy_backend_duty{backend=" + bed.Primary.Addr + ",duty=" + word + "}"
	}
	c.does("MAINTENANCE '" + bed.Primary.Addr + "' FORCE")
	eventually(t, 20*time.Second, "not ready without its primary", func() bool {
		code, body := httpGet(t, addr, "/readyz")
		return code == 503 && body == "not ready: no server takes writes\nnot ready: backend "+bed.Primary.Addr+" is in maintenance\n"
	})
	if m := samples(t, addr); m[duty("maintenance")] != 1 || m[duty("online")] != 0 || m["mysql_proxy_ready"] != 0 {
		t.Errorf("maintenance %v, online %v, ready %v", m[duty("maintenance")], m[duty("online")], m["mysql_proxy_ready"])
	}
	c.does("ONLINE '" + bed.Primary.Addr + "'")
	eventually(t, 20*time.Second, "ready again", func() bool {
		code, _ := httpGet(t, addr, "/readyz")
		return code == 200
	})
}

// A proxy that stops, and waits for a transaction, says so until it has ended.
func TestReadyWhileTheProxyStops(t *testing.T) {
	p, addr := watched(t, "--shutdown-timeout=60")
	s := openSession(t, p.addr)
	s.mustAsk("BEGIN", "OK")
	s.mustAsk("SELECT COUNT(*) FROM items", "5000")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the shutdown is told of", func() bool {
		code, body := httpGet(t, addr, "/readyz")
		return code == 503 && body == "not ready: the proxy is shutting down\n"
	})
	if code, body := httpGet(t, addr, "/healthz"); code != 200 {
		t.Errorf("/healthz: %d %s", code, body)
	}
	if n := samples(t, addr)["mysql_proxy_sessions"]; n != 1 {
		t.Errorf("%v sessions, want 1", n)
	}
	s.mustAsk("COMMIT", "OK")
	p.waitGone(t, 20*time.Second)
}

// Calls of hooks, and those that fail, are counted.
func TestHTTPOfAScript(t *testing.T) {
	if relayOnly {
		t.Fatal("a relay runs no scripts")
	}
	script := filepath.Join(t.TempDir(), "some.lua")
	const text = `function read_query(packet)
	if packet:find("fail", 1, true) then error("as told") end
end
`
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := enginetest.FreeAddr(t)
	p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-lua-script="+script, "--http-address="+addr)
	s := openSession(t, p.addr)
	before := samples(t, addr)
	for range 40 {
		s.mustAsk("SELECT 1", "1")
	}
	for range 3 {
		s.mustAsk("SELECT 2 /* fail */", "2")
	}
	after := samples(t, addr)
	wantChanges(t, before, after, map[string]float64{
		"mysql_proxy_hook_calls_total{hook=read_query}":    43,
		"mysql_proxy_hook_failures_total{hook=read_query}": 3,
		"mysql_proxy_hook_failures_total":                  3,
		"mysql_proxy_commands_total":                       43,
		"mysql_proxy_backend_commands_total":               43,
	})
	if n, d := after["mysql_proxy_hook_timed_calls_total{hook=read_query}"], after["mysql_proxy_hook_timed_seconds_total{hook=read_query}"]; n < 1 || d <= 0 {
		t.Errorf("%v calls were timed, %v seconds", n, d)
	}
	if _, ok := after["mysql_proxy_routed_commands_total"]; ok {
		t.Error("routes are told of without splitting")
	}
}

// A loop that hangs costs health, and is named, until it goes on.
func TestHealthWhileALoopHangs(t *testing.T) {
	if relayOnly {
		t.Fatal("a relay runs no scripts")
	}
	dir := t.TempDir()
	script, end := filepath.Join(dir, "hang.lua"), filepath.Join(dir, "end")
	text := fmt.Sprintf(`function read_query(packet)
	while packet:find("hang", 1, true) do
		local f = io.open(%q)
		if f then f:close() return end
	end
end
`, end)
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	addr := enginetest.FreeAddr(t)
	p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-lua-script="+script, "--lua-hook-time=600", "--lua-hook-instructions=0", "--http-address="+addr)
	s := openSession(t, p.addr)
	if code, body := httpGet(t, addr, "/healthz"); code != 200 {
		t.Errorf("/healthz: %d %s", code, body)
	}
	s.start("SELECT 3 /* hang */")
	eventually(t, patience, "the loop is said to hang", func() bool {
		code, body := httpGet(t, addr, "/healthz")
		return code == 503 && regexp.MustCompile(`^not healthy: within 2s: event loop [01] has not answered: `).MatchString(body)
	})
	if err := os.WriteFile(end, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := s.answer(); got != "3" {
		t.Errorf("the statement got %q, want 3", got)
	}
	eventually(t, 20*time.Second, "it goes on", func() bool {
		code, body := httpGet(t, addr, "/healthz")
		return code == 200 && body == "ok\n"
	})
}

// Whoever plays with the HTTP port takes nothing from clients.
func TestHostileHTTP(t *testing.T) {
	addr := enginetest.FreeAddr(t)
	p := startProxy(t, []string{bed.Primary.Addr}, "--http-address="+addr)
	s := openSession(t, p.addr)
	files := p.openFiles(t)
	for i := range 120 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text := []string{"", "GET /metr", "GET / HTTP/1.1\r\nX: " + strings.Repeat("y", 1<<20), "\x16\x03\x01\x02\x00", strings.Repeat("\x00", 4096), "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n"}[i%6]
		_ = c.SetDeadline(time.Now().Add(50 * time.Millisecond))
		_, _ = c.Write([]byte(text)) // it need not be taken
	}
	for range 100 {
		s.mustAsk("SELECT 1", "1")
	}
	if n := p.openFiles(t); n > files+64 {
		t.Errorf("%d files are open, %d before", n, files)
	}
	eventually(t, 60*time.Second, "HTTP is answered again", func() bool {
		r, err := http.Get("http://" + addr + "/healthz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == 200
	})
}
