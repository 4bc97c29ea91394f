package engine

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// This file is what a probe asks a server, and how the answers are read. Columns
// and variables are looked up by name: MySQL and MariaDB, and their versions, have
// them in other places and by two spellings.

// asker is a session with a server.
type asker interface {
	// ask runs a query. An error other than a *mysql.MySQLError is the end of the
	// session.
	ask(ctx context.Context, query string) (table, error)
	close()
}

// table is a result.
type table struct {
	columns []string
	rows    [][]string // a NULL is "NULL"
}

// value is that of a row's first column that has one of these names.
func (t table) value(row []string, names ...string) (string, bool) {
	for _, name := range names {
		for i, c := range t.columns {
			if strings.EqualFold(c, name) && i < len(row) {
				return row[i], true
			}
		}
	}
	return "", false
}

// pairs reads a result whose rows have a name and a value.
func (t table) pairs() map[string]string {
	m := map[string]string{}
	for _, r := range t.rows {
		if len(r) == 2 {
			m[strings.ToLower(r[0])] = r[1]
		}
	}
	return m
}

// findings is what a probe has found at a server that answers.
type findings struct {
	took     time.Duration // by the first answer
	readOnly bool
	offline  bool
	group    string // what is wrong with a member of a group; empty: nothing, or it is in none
	member   bool   // it is in one
	storage  bool   // it reads what another server writes, without replication (Aurora)

	// Of a read-only backend whose replication is looked at.
	replication replication
	unasked     error // why that could not be found out
}

// replication is the state of a replica's channels, the worst of each.
type replication struct {
	channels   int
	stopped    bool // a thread does not run
	connecting bool // a channel looks for its primary
	known      bool // lag is
	lag        time.Duration
}

// examiner asks one server. What depends on its kind it finds out once.
type examiner struct {
	asker
	lags bool // its replication is of interest

	variables, replicas, members string // the queries; empty: not for this server
	storage                      bool
	wsrep                        bool
}

// kinds are the variables by which kinds of servers are told apart.
const kinds = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version','read_only','super_read_only','offline_mode','innodb_read_only','wsrep_on','group_replication_group_name')"

// meet finds out what kind of server it is.
func (x *examiner) meet(ctx context.Context) error {
	t, err := x.ask(ctx, kinds)
	if err != nil {
		return err
	}
	vars := t.pairs()
	var ask []string
	for _, name := range [...]string{"read_only", "super_read_only", "offline_mode"} {
		if _, ok := vars[name]; ok {
			ask = append(ask, "@@GLOBAL."+name+" AS "+name)
		}
	}
	if len(ask) == 0 {
		return fmt.Errorf("it has no variable read_only; is it a server?")
	}
	x.variables = "SELECT " + strings.Join(ask, ", ")
	x.replicas = "SHOW REPLICA STATUS"
	if strings.Contains(strings.ToLower(vars["version"]), "mariadb") {
		x.replicas = "SHOW ALL SLAVES STATUS"
	}
	if x.wsrep = on(vars["wsrep_on"]); x.wsrep {
		x.members = "SHOW GLOBAL STATUS WHERE Variable_name IN ('wsrep_local_state','wsrep_cluster_status','wsrep_ready')"
	} else if vars["group_replication_group_name"] != "" {
		x.members = "SELECT MEMBER_STATE FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid"
	}
	x.storage = on(vars["innodb_read_only"])
	return nil
}

// on tells whether a variable is switched on. MariaDB has words for degrees of it.
func on(value string) bool {
	switch strings.ToUpper(value) {
	case "", "0", "OFF", "FALSE", "NO", "NULL":
		return false
	}
	return true
}

// examine asks the server. within is how long each answer may take.
func (x *examiner) examine(ctx context.Context, within time.Duration) (f findings, err error) {
	ask := func(query string) (table, error) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		return x.ask(ctx, query)
	}
	if x.variables == "" {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		if err := x.meet(ctx); err != nil {
			return f, err
		}
	}
	since := time.Now()
	t, err := ask(x.variables)
	if err != nil {
		return f, err
	}
	f.took = time.Since(since)
	if len(t.rows) == 1 {
		for i, name := range t.columns {
			switch value := t.rows[0][i]; name {
			case "offline_mode":
				f.offline = on(value)
			default:
				f.readOnly = f.readOnly || on(value)
			}
		}
	}
	f.storage = x.storage
	if !x.lags {
		return f, nil
	}
	if x.members != "" {
		if t, err = ask(x.members); err != nil {
			f.unasked = err
			return f, nil
		}
		f.member, f.group = membership(t, x.wsrep)
		if f.member {
			return f, nil
		}
	}
	t, err = ask(x.replicas)
	if number(err) == errSyntax && x.replicas == "SHOW REPLICA STATUS" { // before MySQL 8.0.22
		x.replicas = "SHOW SLAVE STATUS"
		t, err = ask(x.replicas)
	}
	if err != nil {
		f.unasked = err
		return f, nil
	}
	f.replication = channels(t)
	return f, nil
}

// membership reads what a member of a group says of itself. wrong is empty if it
// is in step.
func membership(t table, wsrep bool) (member bool, wrong string) {
	if !wsrep {
		if len(t.rows) != 1 {
			return false, "" // it has left, or never joined
		}
		if state := t.rows[0][0]; state != "ONLINE" {
			return true, state
		}
		return true, ""
	}
	s := t.pairs()
	switch {
	case s["wsrep_cluster_status"] != "Primary":
		return true, "wsrep_cluster_status is " + s["wsrep_cluster_status"]
	case !on(s["wsrep_ready"]):
		return true, "wsrep_ready is " + s["wsrep_ready"]
	case s["wsrep_local_state"] != "4":
		return true, "wsrep_local_state is " + s["wsrep_local_state"]
	}
	return true, ""
}

// channels reads SHOW REPLICA STATUS and its like.
func channels(t table) (r replication) {
	r.channels, r.known = len(t.rows), len(t.rows) > 0
	for _, row := range t.rows {
		receiver, _ := t.value(row, "Replica_IO_Running", "Slave_IO_Running")
		applier, _ := t.value(row, "Replica_SQL_Running", "Slave_SQL_Running")
		behind, _ := t.value(row, "Seconds_Behind_Source", "Seconds_Behind_Master")
		switch {
		case applier != "Yes" || receiver == "No":
			r.stopped = true
		case receiver != "Yes":
			r.connecting = true
		}
		seconds, err := strconv.ParseUint(behind, 10, 32)
		if err != nil {
			r.known = false
		}
		r.lag = max(r.lag, time.Duration(seconds)*time.Second)
	}
	return r
}

// What servers answer in an ERR.
const (
	errFull        = 1040 // too many connections
	errShutdown    = 1053
	errSyntax      = 1064
	errBlocked     = 1129 // this host, after too many connects that came to nothing
	errHost        = 1130 // this host may not connect
	errKilled      = 1927 // MariaDB: the connection
	errOffline     = 3032
	errKilledMySQL = 3169 // the session
	errIdle        = 4031 // closed for having been idle
)

// number is that of an ERR, 0 if err is none.
func number(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// unreachable tells whether err says that a server is not there, or does not serve
// this host. Else it speaks, and has something against the probe.
func unreachable(err error) bool {
	switch number(err) {
	case errShutdown, errBlocked, errHost, errKilled, errKilledMySQL, errIdle:
		return true
	case 0:
	default:
		return false
	}
	var op *net.OpError
	if errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error") { // TLS
		return false
	}
	var of net.Error
	return errors.As(err, &of) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn)
}

// silence is an error: a server has not answered for so long.
type silence time.Duration

func (s silence) Error() string {
	return "no answer within " + time.Duration(s).String() + " (--health-timeout)"
}

func (silence) Is(target error) bool { return target == context.DeadlineExceeded }

// silent is err, in other words if it is that the time within was over.
func silent(err error, within time.Duration) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return silence(within)
	}
	return err
}

// probeSession is a session of the driver's.
type probeSession struct {
	conn driver.Conn
	said *said
}

// said keeps what the driver says besides its errors, which hide what happened on
// the wire.
type said struct{ last atomic.Pointer[string] }

// Print is called by goroutines of the driver, too.
func (s *said) Print(v ...any) {
	text := strings.TrimSpace(fmt.Sprintln(v...))
	s.last.Store(&text)
}

// explain is err, with what the driver said of it if that tells more.
func (s *said) explain(err error) error {
	text := s.last.Load()
	if text == nil || !errors.Is(err, driver.ErrBadConn) && !errors.Is(err, mysql.ErrInvalidConn) {
		return err
	}
	return fmt.Errorf("%s (%w)", *text, err)
}

// probeAlive is how the kernel finds out that nobody is at the other end of a
// session any more.
var probeAlive = net.KeepAliveConfig{Enable: true, Idle: 2 * time.Second, Interval: time.Second, Count: 3}

// dialProbe logs in at b. The connect itself has cfg.Health.Timeout, the login as
// long as ctx.
func dialProbe(ctx context.Context, cfg *Config, b *Backend) (asker, error) {
	password, err := cfg.Health.Password()
	if err != nil {
		return nil, errors.New(err.Error()) // whatever it is, it does not come from the network
	}
	c, s := mysql.NewConfig(), &said{}
	c.User, c.Passwd = cfg.Health.User, password
	c.Net, c.Addr = "tcp", b.Addr.IP.String()
	c.Timeout, c.WriteTimeout = cfg.Health.Timeout, cfg.Health.Timeout
	c.Logger = s
	c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{KeepAliveConfig: probeAlive}
		return d.DialContext(ctx, network, addr)
	}
	c.ConnectionAttributes = "program_name:mysql-proxy health probe"
	if b.Addr.Path != "" {
		c.Net, c.Addr = "unix", b.Addr.Path
	} else if cfg.BackendTLS != TLSOff {
		c.TLS = cfg.BackendTLSConfig(b.config())
		c.AllowFallbackToPlaintext = cfg.BackendTLS != TLSRequire
	}
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return nil, err
	}
	conn, err := connector.Connect(ctx)
	if ctx.Err() != nil && err != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, s.explain(err)
	}
	return &probeSession{conn, s}, nil
}

func (p *probeSession) close() { _ = p.conn.Close() } // it is of no use any more, whatever is wrong with it

func (p *probeSession) ask(ctx context.Context, query string) (t table, err error) {
	rows, err := p.conn.(driver.QueryerContext).QueryContext(ctx, query, nil)
	if err != nil {
		return t, p.said.explain(err)
	}
	defer rows.Close()
	t.columns = rows.Columns()
	dest := make([]driver.Value, len(t.columns))
	for len(t.rows) < maxFindings {
		err := rows.Next(dest)
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return t, p.said.explain(err)
		}
		row := make([]string, len(dest))
		for i, v := range dest {
			switch v := v.(type) {
			case nil:
				row[i] = "NULL"
			case []byte:
				row[i] = string(v)
			default:
				row[i] = fmt.Sprint(v)
			}
		}
		t.rows = append(t.rows, row)
	}
	return t, errors.New("more rows than any server has channels")
}

// maxFindings is how many rows of a result are read.
const maxFindings = 1000
