package admin

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"mysqlproxy/engine"
)

// live are Settings of which some can be changed.
type live struct {
	options
	did *[]string
	err error
}

func (l live) Set(_ context.Context, option, value string) ([]engine.Change, error) {
	*l.did = append(*l.did, "set "+option+" "+value)
	if value == "10" {
		return nil, nil
	}
	return []engine.Change{{Option: option, From: "10", To: value}}, l.err
}

func (l live) Reload(context.Context) ([]engine.Change, error) {
	*l.did = append(*l.did, "reload")
	return []engine.Change{{Option: "max-replica-lag", From: "10", To: "5"}, {Option: "auth", To: "relay"}}, l.err
}

// What the console does, and what it says to it.
func TestActs(t *testing.T) {
	all := options{{Name: "max-replica-lag", Value: "10", Default: "7", Live: true}, {Name: "basedir", Value: "/"}}
	const explained = "route:VAR_STRING reason:VAR_STRING backends:VAR_STRING unless:VAR_STRING effects:VAR_STRING pins:VAR_STRING several:VAR_STRING digest:VAR_STRING digest_text:VAR_STRING\n" +
		"replica|read|a:1,b:1|lag|NULL|NULL|no|0000000000000abc|SELECT ?"
	for _, tc := range []struct {
		sql, did, want string
		err            error
	}{
		{"EXPLAIN ROUTE SELECT 1", `explain "SELECT 1" 0 shop`, explained, nil},
		{"explain route FOR SESSION 3 /* x */ SELECT 'a;b', \"unclosed ; ", `explain "/* x */ SELECT 'a;b', \"unclosed" 3 shop`, explained, nil},
		{"EXPLAIN ROUTE FOR SESSION 4 SELECT 1", `explain "SELECT 1" 4 shop`, "ERR 1094 HY000 there is no session 4 of a client that is logged in; SHOW SESSIONS lists them", nil},
		{"EXPLAIN ROUTE", "", "ERR 1064 42000 a statement to explain is missing at the end", nil},
		{"EXPLAIN ROUTE FOR SESSION 3;", "", "ERR 1064 42000 a statement to explain is missing at the end", nil},
		{"EXPLAIN ROUTE FOR SESSION x SELECT 1", "", "ERR 1064 42000 the id of a session is to be a number, and here is 'x SELECT 1'", nil},
		{"EXPLAIN ROUTE FOR 3 SELECT 1", "", "ERR 1064 42000 SESSION is missing at '3 SELECT 1'", nil},
		{"EXPLAIN ROUTE SELECT 1", `explain "SELECT 1" 0 shop`, "ERR 1105 HY000 cannot", errors.New("cannot")},
		{"KILL 3", "kill 3 false", "OK", nil}, {"kill connection 3", "kill 3 false", "OK", nil}, {"KILL QUERY 3;", "kill 3 true", "OK", nil},
		{"KILL 4", "kill 4 false", "ERR 1094 HY000 there is no session 4; SHOW SESSIONS lists them", nil},
		{"KILL QUERY 3", "kill 3 true", "ERR 1105 HY000 cannot", errors.New("cannot")},
		{"KILL", "", "ERR 1064 42000 the id of a session is to be a number, and here is the end", nil},
		{"KILL 3 4", "", "ERR 1064 42000 '4' is too much here", nil},
		{"RESET DIGESTS", "reset digests", "OK", nil}, {"RESET DIGESTS 1", "", "ERR 1064 42000 '1' is too much here", nil},
		{"DRAIN '10.0.0.2:3306'", "10.0.0.2:3306 draining 0s", "OK 10.0.0.2:3306 is draining; SHOW BACKENDS says when it is done", nil},
		{"DRAIN 10.0.0.2:3306 FOR 30 SECONDS", "10.0.0.2:3306 draining 30s", "OK 10.0.0.2:3306 is draining, for 30 seconds at most; SHOW BACKENDS says when it is done", nil},
		{"drain 2", "10.0.0.2:3306 draining 0s", "OK 10.0.0.2:3306 is draining; SHOW BACKENDS says when it is done", nil},
		{"DRAIN [::1]:3306", "[::1]:3306 draining 0s", "OK [::1]:3306 is draining; SHOW BACKENDS says when it is done", nil},
		{"DRAIN /tmp/mysql.sock", "/tmp/mysql.sock draining 0s", "OK /tmp/mysql.sock is draining; SHOW BACKENDS says when it is done", nil},
		{"DRAIN 9", "", "ERR 1105 HY000 there is no backend with the number 9; SHOW BACKENDS lists them", nil},
		{"DRAIN '9'", "9 draining 0s", "OK 9 is draining; SHOW BACKENDS says when it is done", nil},
		{"DRAIN 'nowhere:1'", "nowhere:1 draining 0s", "ERR 1105 HY000 there is no backend 'nowhere:1'; SHOW BACKENDS lists them", nil},
		{"DRAIN '10.0.0.1:3306'", "10.0.0.1:3306 draining 0s", "ERR 1105 HY000 no other backend than 10.0.0.1:3306 could take writes now, sessions would have nowhere to go; it stays online unless that is forced: with FORCE behind the statement", nil},
		{"DRAIN '10.0.0.1:3306' FOR 1 SECOND FORCE", "force 10.0.0.1:3306 draining 1s", "OK 10.0.0.1:3306 is draining, for 1 seconds at most; SHOW BACKENDS says when it is done", nil},
		{"DRAIN 2 FOR 0 SECONDS", "", "ERR 1064 42000 to drain for 0 seconds is MAINTENANCE", nil},
		{"DRAIN 2 FOR 99999999999 SECONDS", "10.0.0.2:3306 draining 168h0m0s", "OK 10.0.0.2:3306 is draining, for 604800 seconds at most; SHOW BACKENDS says when it is done", nil},
		{"DRAIN 2 FOR 5 MINUTES", "", "ERR 1064 42000 SECONDS is missing at 'MINUTES'", nil}, {"DRAIN", "", "ERR 1064 42000 the address of a backend is missing at the end", nil},
		{"MAINTENANCE 2", "10.0.0.2:3306 maintenance 0s", "OK 10.0.0.2:3306 is about to be in maintenance; what it runs is ended", nil},
		{"MAINTENANCE 2 FOR 5 SECONDS", "10.0.0.2:3306 maintenance 5s", "OK 10.0.0.2:3306 is in maintenance in 5 seconds, or when no session is left", nil},
		{"ONLINE '10.0.0.2:3306'", "10.0.0.2:3306 online 0s", "OK 10.0.0.2:3306 is online", nil}, {"ONLINE 2 FORCE", "", "ERR 1064 42000 'FORCE' is too much here", nil},
		{"ONLINE 2", "10.0.0.2:3306 online 0s", "ERR 1105 HY000 cannot", errors.New("cannot")},
		{"SET max-replica-lag = 4", "set max-replica-lag 4", "OK max-replica-lag: 10 -> 4", nil}, {"SET GLOBAL max_replica_lag='4';", "set max-replica-lag 4", "OK max-replica-lag: 10 -> 4", nil},
		{"SET @@global.max_replica_lag := a, b", "set max-replica-lag a, b", "OK max-replica-lag: 10 -> a, b", nil},
		{"SET max-replica-lag = 10", "set max-replica-lag 10", "OK max-replica-lag is that already", nil},
		{"SET max-replica-lag = 4", "set max-replica-lag 4", "ERR 1231 42000 nothing has changed: cannot", errors.New("cannot")},
		{"SET max-replica-lag", "", "ERR 1064 42000 a = is missing at the end", nil}, {"SET max-replica-lag =", "", "ERR 1064 42000 a value is missing at the end", nil},
		{"SET max-replica-lag = 'a' b", "", "ERR 1064 42000 'b' is too much here", nil},
		{"SET basedir = '/x'", "", "ERR 1238 HY000 basedir cannot be changed while the proxy runs; change it in the defaults-file or on the command line, and start it anew", nil},
		{"RELOAD", "reload", "option:VAR_STRING was:VAR_STRING is:VAR_STRING\nmax-replica-lag|10|5\nauth|NULL|relay", nil},
		{"RELOAD", "reload", "ERR 1231 42000 nothing has changed: cannot", errors.New("cannot")},
	} {
		p := atWork()
		p.refuses = tc.err
		var log strings.Builder
		c := &Console{Settings: live{all, &p.did, tc.err}, Log: slog.New(slog.NewTextHandler(&log, nil))}
		got := shown(t, c.Answer(context.Background(), p, engine.AdminCommand{Payload: []byte("\x03" + tc.sql), Database: "shop", User: "root", Client: "10.9.9.9:999"}))
		if did := strings.Join(p.did, ", "); got != tc.want || did != tc.did {
			t.Errorf("%s: %s, and did %q\nwant %s, %q", tc.sql, got, did, tc.want, tc.did)
		}
		verb, _, _ := strings.Cut(strings.ToUpper(tc.sql), " ")
		if acts := tc.did != "" && verb != "EXPLAIN"; strings.Contains(log.String(), `msg="an operator asks: `+verb) != acts || strings.Contains(log.String(), "user=root client=10.9.9.9:999") != acts {
			t.Errorf("%s: the log has %q", tc.sql, log.String())
		}
		if strings.Contains(log.String(), "a, b") {
			t.Errorf("%s: the log has the value: %s", tc.sql, log.String())
		}
	}
	p := atWork()
	if got := shown(t, command(p, "\x0c\x03\x00\x00\x00")); got != "OK" || strings.Join(p.did, "") != "kill 3 false" {
		t.Errorf("COM_PROCESS_KILL: %s, %q", got, p.did)
	}
	if got := shown(t, command(p, "\x0c\x03\x00")); got != "ERR 1835 HY000 Malformed communication packet." {
		t.Errorf("half a COM_PROCESS_KILL: %s", got)
	}
}
