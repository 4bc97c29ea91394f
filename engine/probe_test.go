package engine

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
)

// examinee is a server that answers probes from a table: the beginning of a query,
// and what comes back.
type examinee struct {
	mu      sync.Mutex
	answers map[string]any // a table, or an error
	queries []string
	closed  int
}

func (a *examinee) close() { a.closed++ }

func (a *examinee) ask(_ context.Context, query string) (table, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queries = append(a.queries, query)
	for begin, answer := range a.answers {
		if strings.HasPrefix(query, begin) {
			if err, ok := answer.(error); ok {
				return table{}, err
			}
			return answer.(table), nil
		}
	}
	return table{}, fmt.Errorf("nobody expected %q", query)
}

func rows(columns string, rows ...string) table {
	t := table{columns: strings.Fields(columns)}
	for _, r := range rows {
		t.rows = append(t.rows, strings.Fields(r))
	}
	return t
}

func sqlError(code uint16) error { return &mysql.MySQLError{Number: code, Message: "says the server"} }

func TestWhatAProbeFinds(t *testing.T) {
	const (
		mysqlColumns   = "Replica_IO_Running Replica_SQL_Running Seconds_Behind_Source"
		mariadbColumns = "Slave_IO_Running Slave_SQL_Running Seconds_Behind_Master"
	)
	mysql9 := rows("Variable_name Value", "version 9.7.4", "read_only ON", "super_read_only ON", "offline_mode OFF", "innodb_read_only OFF")
	mysql57 := rows("Variable_name Value", "version 5.7.44-log", "read_only ON", "super_read_only OFF", "offline_mode OFF")
	mariadb := rows("Variable_name Value", "version 10.11.19-MariaDB-log", "read_only ON", "wsrep_on OFF")
	mysqlSelect := rows("read_only super_read_only offline_mode", "1 1 0")
	for _, tc := range []struct {
		name    string
		answers map[string]any
		want    findings
	}{
		{"MySQL", map[string]any{"SHOW GLOBAL VARIABLES": mysql9, "SELECT @@GLOBAL.read_only AS read_only, @@GLOBAL.super_read_only": mysqlSelect,
			"SHOW REPLICA STATUS": rows(mysqlColumns, "Yes Yes 3")},
			findings{readOnly: true, replication: replication{channels: 1, known: true, lag: 3 * time.Second}}},
		{"MySQL that does not know the word replica", map[string]any{"SHOW GLOBAL VARIABLES": mysql57, "SELECT": mysqlSelect,
			"SHOW REPLICA STATUS": sqlError(1064), "SHOW SLAVE STATUS": rows(mariadbColumns, "Yes Yes 0")},
			findings{readOnly: true, replication: replication{channels: 1, known: true}}},
		{"MariaDB", map[string]any{"SHOW GLOBAL VARIABLES": mariadb, "SELECT @@GLOBAL.read_only AS read_only": rows("read_only", "0"),
			"SHOW ALL SLAVES STATUS": rows(mariadbColumns, "Yes Yes 7", "Yes Yes 12")},
			findings{replication: replication{channels: 2, known: true, lag: 12 * time.Second}}},
		{"words for degrees of read_only", map[string]any{"SHOW GLOBAL VARIABLES": mariadb, "SELECT": rows("read_only", "NO_LOCK"),
			"SHOW ALL SLAVES STATUS": rows(mariadbColumns)},
			findings{readOnly: true}},
		{"offline", map[string]any{"SHOW GLOBAL VARIABLES": mysql9, "SELECT": rows("read_only super_read_only offline_mode", "0 0 1"),
			"SHOW REPLICA STATUS": rows(mysqlColumns)},
			findings{offline: true}},
		{"an applier that has stopped", map[string]any{"SHOW GLOBAL VARIABLES": mysql9, "SELECT": mysqlSelect,
			"SHOW REPLICA STATUS": rows(mysqlColumns, "Yes No NULL")},
			findings{readOnly: true, replication: replication{channels: 1, stopped: true}}},
		{"one channel of two that has stopped", map[string]any{"SHOW GLOBAL VARIABLES": mysql9, "SELECT": mysqlSelect,
			"SHOW REPLICA STATUS": rows(mysqlColumns, "Yes Yes 5", "No Yes NULL")},
			findings{readOnly: true, replication: replication{channels: 2, stopped: true, lag: 5 * time.Second}}},
		{"a receiver that looks for the primary", map[string]any{"SHOW GLOBAL VARIABLES": mysql9, "SELECT": mysqlSelect,
			"SHOW REPLICA STATUS": rows(mysqlColumns, "Connecting Yes NULL")},
			findings{readOnly: true, replication: replication{channels: 1, connecting: true}}},
		{"no right to ask", map[string]any{"SHOW GLOBAL VARIABLES": mysql9, "SELECT": mysqlSelect, "SHOW REPLICA STATUS": sqlError(1227)},
			findings{readOnly: true, unasked: sqlError(1227)}},
		{"Galera in step", map[string]any{"SHOW GLOBAL VARIABLES": rows("Variable_name Value", "version 11.8.9-MariaDB", "read_only OFF", "wsrep_on ON"), "SELECT": rows("read_only", "0"),
			"SHOW GLOBAL STATUS": rows("Variable_name Value", "wsrep_local_state 4", "wsrep_cluster_status Primary", "wsrep_ready ON")},
			findings{member: true}},
		{"Galera, a donor", map[string]any{"SHOW GLOBAL VARIABLES": rows("Variable_name Value", "version 11.8.9-MariaDB", "read_only OFF", "wsrep_on ON"), "SELECT": rows("read_only", "0"),
			"SHOW GLOBAL STATUS": rows("Variable_name Value", "wsrep_local_state 2", "wsrep_cluster_status Primary", "wsrep_ready ON")},
			findings{member: true, group: "wsrep_local_state is 2"}},
		{"Galera, cut off", map[string]any{"SHOW GLOBAL VARIABLES": rows("Variable_name Value", "version 11.8.9-MariaDB", "read_only OFF", "wsrep_on ON"), "SELECT": rows("read_only", "0"),
			"SHOW GLOBAL STATUS": rows("Variable_name Value", "wsrep_local_state 0", "wsrep_cluster_status non-Primary", "wsrep_ready OFF")},
			findings{member: true, group: "wsrep_cluster_status is non-Primary"}},
		{"group replication, recovering", map[string]any{"SHOW GLOBAL VARIABLES": rows("Variable_name Value", "version 9.7.4", "read_only ON", "group_replication_group_name aaaa"), "SELECT @@": rows("read_only", "1"),
			"SELECT MEMBER_STATE": rows("MEMBER_STATE", "RECOVERING")},
			findings{readOnly: true, member: true, group: "RECOVERING"}},
		{"group replication that it has not joined", map[string]any{"SHOW GLOBAL VARIABLES": rows("Variable_name Value", "version 9.7.4", "read_only ON", "group_replication_group_name aaaa"), "SELECT @@": rows("read_only", "1"),
			"SELECT MEMBER_STATE": rows("MEMBER_STATE"), "SHOW REPLICA STATUS": rows(mysqlColumns, "Yes Yes 1")},
			findings{readOnly: true, replication: replication{channels: 1, known: true, lag: time.Second}}},
		{"a storage that is shared", map[string]any{"SHOW GLOBAL VARIABLES": rows("Variable_name Value", "version 8.0.39", "read_only ON", "innodb_read_only ON"), "SELECT": rows("read_only", "1"),
			"SHOW REPLICA STATUS": rows(mysqlColumns)},
			findings{readOnly: true, storage: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			x := examiner{asker: &examinee{answers: tc.answers}, lags: true}
			for i := range 2 { // the second time it knows the server
				got, err := x.examine(t.Context(), time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if got.unasked != nil && tc.want.unasked != nil && got.unasked.Error() == tc.want.unasked.Error() {
					got.unasked = tc.want.unasked
				}
				if got.took = 0; got != tc.want {
					t.Errorf("look %d found %+v, want %+v", i+1, got, tc.want)
				}
			}
		})
	}
	t.Run("of a read/write server replication is not asked for", func(t *testing.T) {
		a := &examinee{answers: map[string]any{"SHOW GLOBAL VARIABLES": mysql9, "SELECT": mysqlSelect}}
		x := examiner{asker: a}
		if _, err := x.examine(t.Context(), time.Minute); err != nil {
			t.Error(err)
		}
	})
}

func TestWhichErrorsMeanThatAServerIsNotThere(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want bool
	}{
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, true},
		{&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true},
		{fmt.Errorf("wrapped: %w", context.DeadlineExceeded), true},
		{io.EOF, true},
		{driver.ErrBadConn, true},
		{mysql.ErrInvalidConn, true},
		{sqlError(1053), true},
		{sqlError(1129), true},
		{sqlError(1130), true},
		{sqlError(1927), true},
		{sqlError(1040), false},
		{sqlError(1045), false},
		{sqlError(1820), false},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, false},
		{mysql.ErrCleartextPassword, false},
		{mysql.ErrNoTLS, false},
	} {
		if got := unreachable(tc.err); got != tc.want {
			t.Errorf("%v: %v, want %v", tc.err, got, tc.want)
		}
	}
}

// quietProber is a prober whose time is the test's.
func quietProber(readOnly bool) (*prober, *recorder) {
	log := &recorder{}
	cfg := HealthConfig{Interval: time.Second, Timeout: time.Second, Rise: 2, Fall: 2, MaxLag: 10 * time.Second}
	e := &Engine{}
	e.now.Store(newRunning(Config{Health: &cfg, Log: slog.New(log)}))
	b := newBackend(e, BackendConfig{ReadOnly: readOnly}, 0, 1)
	return newProber(e, b), log
}

func TestUpAndDown(t *testing.T) {
	p, log := quietProber(false)
	gone := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	now := time.Now()
	for i, s := range []struct {
		err    error
		state  BackendState
		health Health
		soon   bool // the next probe follows at once
	}{
		{nil, BackendUp, HealthGood, false},
		{gone, BackendUp, HealthGood, true},
		{nil, BackendUp, HealthGood, false}, // one failure is none
		{gone, BackendUp, HealthGood, true},
		{gone, BackendDown, HealthDown, false},
		{gone, BackendDown, HealthDown, false},
		{nil, BackendDown, HealthDown, false}, // --health-rise is 2
		{gone, BackendDown, HealthDown, true},
		{nil, BackendDown, HealthDown, false},
		{nil, BackendUp, HealthGood, false},
	} {
		now = now.Add(time.Second)
		pause := p.takes(findings{took: time.Millisecond}, s.err, now)
		if p.b.State() != s.state || p.b.Health() != s.health {
			t.Errorf("probe %d: %s and %s, want %s and %s", i+1, p.b.State(), p.b.Health(), s.state, s.health)
		}
		if soon := pause <= probeSoonest; soon != s.soon || pause > time.Second {
			t.Errorf("probe %d: the next one in %v; want it at once: %v", i+1, pause, s.soon)
		}
	}
	if got := log.all("backend is down"); len(got) != 1 || !strings.Contains(got[0].attrs["detail"], "refused") {
		t.Errorf("the log has %v, want one line with the reason", got)
	}
	if got := log.all("backend is up"); len(got) != 1 || got[0].attrs["seconds"] != "5" {
		t.Errorf("the log has %v, want one line, 5 seconds later", got)
	}
}

// What connects show counts at once; probes bring the backend back.
func TestAConnectThatFailsIsProbedAtOnce(t *testing.T) {
	p, _ := quietProber(false)
	p.b.prober.Store(p)
	p.takes(findings{}, nil, time.Now())
	p.b.fail(p.e, errNoGreeting)
	if p.b.State() != BackendDown || len(p.kicks) != 1 || !p.anew.Load() {
		t.Errorf("it is %s, %d probes are asked for, by a new login: %v; want down, 1, true", p.b.State(), len(p.kicks), p.anew.Load())
	}
	p.b.reached() // a kernel takes connections for a server that is stopped
	var bs backends
	is := []*Backend{p.b}
	bs.is(p.e, is, is)
	bs.wake(time.Now().Add(time.Hour), func(*Backend) { t.Error("woken") })
	if p.b.State() != BackendDown {
		t.Errorf("it is %s, want down until probes say otherwise", p.b.State())
	}
}

func TestAProbeThatIsNotLetIn(t *testing.T) {
	p, log := quietProber(true)
	gone := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	p.takes(findings{}, gone, time.Now())
	p.takes(findings{}, gone, time.Now())
	for range 3 {
		if pause := p.takes(findings{}, sqlError(1045), time.Now()); pause < probeBarred*3/4 {
			t.Errorf("the next login is in %v", pause)
		}
	}
	if p.b.State() != BackendUnknown || p.b.Health() != HealthUnknown || !p.b.Health().reads() || p.b.probed.on.Load() {
		t.Errorf("it is %s and %s; want that connects show what it is", p.b.State(), p.b.Health())
	}
	if got := log.about("not let in"); len(got) != 1 {
		t.Errorf("the log has %v, want one line", got)
	}
	p.takes(findings{}, sqlError(errOffline), time.Now())
	if p.b.Health() != HealthOffline || p.b.State() != BackendUp {
		t.Errorf("in offline_mode it is %s and %s", p.b.State(), p.b.Health())
	}
}

// A server that is silent is not told of by what Go calls that.
func TestAProbeThatIsNotAnswered(t *testing.T) {
	p, _ := quietProber(true)
	stopped := &examinee{answers: map[string]any{"SHOW GLOBAL VARIABLES": context.DeadlineExceeded}}
	for name, dial := range map[string]func(context.Context) (asker, error){
		"a login": func(context.Context) (asker, error) { return nil, context.DeadlineExceeded },
		"a query": func(context.Context) (asker, error) { return stopped, nil },
	} {
		p.dial = dial
		_, err := p.probe(t.Context())
		if err == nil || err.Error() != "no answer within 1s (--health-timeout)" || !unreachable(err) {
			t.Errorf("%s: %v, unreachable: %v", name, err, unreachable(err))
		}
	}
}

// What a user may is as of its login: a right that was granted meanwhile is found
// out by another one.
func TestAProbeThatMayNotAskLogsInAgain(t *testing.T) {
	p, log := quietProber(true)
	barred := map[string]any{"SHOW GLOBAL VARIABLES": rows("Variable_name Value", "version 9.7.4", "read_only ON"), "SELECT": rows("read_only", "1"), "SHOW REPLICA STATUS": sqlError(1227)}
	granted := map[string]any{"SHOW GLOBAL VARIABLES": barred["SHOW GLOBAL VARIABLES"], "SELECT": barred["SELECT"], "SHOW REPLICA STATUS": inStep}
	logins, may := 0, barred
	p.dial = func(context.Context) (asker, error) {
		logins++
		return &examinee{answers: may}, nil
	}
	probe := func() {
		t.Helper()
		f, err := p.probe(t.Context())
		p.takes(f, err, time.Now())
	}
	p.renew = time.Hour
	probe()
	probe()
	if logins != 1 {
		t.Errorf("%d logins, want 1 as long as the session is young", logins)
	}
	if e := p.b.lastError.Load(); e == nil || !strings.Contains(e.what, "--health-user needs") {
		t.Errorf("the last error is %v, want what is missing", e)
	}
	p.renew, may = 0, granted
	probe()
	probe()
	probe()
	if _, known := p.b.Lag(); logins != 2 || !known {
		t.Errorf("%d logins, the lag is known: %v; want 2, true", logins, known)
	}
	if got := log.about("is told all"); len(got) != 1 {
		t.Errorf("the log has %v, want one line that says so", got)
	}
	if got := log.about("cannot be looked at"); len(got) != 1 {
		t.Errorf("the log has %v, want one line", got)
	}
}

func TestReplicasThatAreFitForReads(t *testing.T) {
	running := func(lag int) findings {
		return findings{replication: replication{channels: 1, known: true, lag: time.Duration(lag) * time.Second}}
	}
	connecting := findings{replication: replication{channels: 1, connecting: true}}
	stuck := findings{unasked: context.DeadlineExceeded}
	type step struct {
		seconds int // since the last one
		f       findings
		want    Health
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"in step, lagging, in step again", []step{{1, running(0), HealthGood}, {1, running(10), HealthGood}, {1, running(11), HealthLagging}, {1, running(2), HealthGood}}},
		{"stopped", []step{{1, running(0), HealthGood}, {1, findings{replication: replication{channels: 1, stopped: true}}, HealthStopped}, {1, running(99), HealthLagging}}},
		{"looks for its primary", []step{{1, running(4), HealthGood}, {5, connecting, HealthGood}, {2, connecting, HealthLagging}, {1, running(0), HealthGood}}},
		{"looks for its primary from the start", []step{{1, connecting, HealthStopped}}},
		{"does not come to say", []step{{1, stuck, HealthGood}, {1, running(0), HealthGood}, {9, stuck, HealthGood}, {2, stuck, HealthLagging}}},
		{"may not be asked", []step{{1, findings{unasked: sqlError(1227)}, HealthGood}, {99, findings{unasked: sqlError(1227)}, HealthGood}}},
		{"follows nobody", []step{{1, findings{}, HealthNotReplica}, {1, running(0), HealthGood}}},
		{"reads another's storage", []step{{1, findings{storage: true}, HealthGood}}},
		{"member of a group", []step{{1, findings{member: true}, HealthGood}, {1, findings{member: true, group: "RECOVERING"}, HealthUnsynced}}},
		{"offline", []step{{1, findings{offline: true, replication: running(0).replication}, HealthOffline}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, _ := quietProber(true)
			now := time.Now()
			for i, s := range tc.steps {
				now = now.Add(time.Duration(s.seconds) * time.Second)
				p.takes(s.f, nil, now)
				if got := p.b.Health(); got != s.want {
					t.Errorf("step %d: %s, want %s", i+1, got, s.want)
				}
			}
		})
	}
	t.Run("however far behind", func(t *testing.T) {
		p, _ := quietProber(true)
		p.cfg.MaxLag = 0
		p.takes(findings{}, nil, time.Now())
		if got := p.b.Health(); got != HealthGood {
			t.Errorf("%s, want good", got)
		}
	})
}
