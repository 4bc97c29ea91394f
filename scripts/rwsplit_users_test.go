package scripts

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// Two users come and go; each finds the state of a new connection, whatever the
// one before has left.
func TestUsersDoNotSeeEachOther(t *testing.T) { onEveryMariaDB(t, testUsersDoNotSeeEachOther) }

func testUsersDoNotSeeEachOther(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	p.warm(t, bed.Users.Empty, "test")
	fresh := connect(t, bed.Primary.Addr, bed.Users.App, "test")
	var want []string
	state := []string{
		"SELECT @a", "SELECT @@sql_mode", "SELECT CHARSET('a'), COLLATION('a')", "SELECT @@character_set_results", "SELECT DATABASE()",
		"SELECT @@in_transaction, @@autocommit, @@tx_isolation", "SELECT LAST_INSERT_ID()", "SELECT COUNT(*) FROM fixed",
	}
	for _, q := range state {
		want = append(want, asText(t, fresh, q))
	}
	leave := []string{
		"SET @a = 1", "SET sql_mode = 'ANSI'", "SET NAMES latin1", "USE other", "BEGIN", "SET autocommit = 0", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
		"INSERT INTO test.own (client, v) VALUES (8400, 1)", "CREATE TEMPORARY TABLE test.fixed (i INT)", "LOCK TABLES test.own WRITE", "PREPARE s FROM 'SELECT 1'",
		"SELECT GET_LOCK('users', 10)", "SELECT 1",
	}
	users := []user{bed.Users.App, bed.Users.Empty}
	for i, q := range leave {
		for k := range 2 {
			u, other := users[(i+k)%2], users[(i+k+1)%2]
			s := connect(t, p.addr, u, "test")
			s.value("SELECT COUNT(*) FROM fixed")
			s.exec(q)
			s.close()
			for _, next := range []user{other, u} {
				n := connect(t, p.addr, next, "test")
				for j, ask := range state {
					if got := asText(t, n, ask); got != want[j] {
						t.Errorf("behind %s of %s, %s as %s: %s, want %s", q, u.Name, ask, next.Name, got, want[j])
					}
				}
				if got := n.value("SELECT SUBSTRING_INDEX(USER(), '@', 1)"); got != next.Name {
					t.Errorf("a read of %s runs as %s", next.Name, got)
				}
				if _, err := n.tryValue("EXECUTE s"); err == nil {
					t.Errorf("behind %s: a prepared statement of another session is there", q)
				}
				n.close()
			}
		}
	}
}

// Connections are used again: otherwise the test above shows nothing.
func TestConnectionsAreUsedAgain(t *testing.T) { onEveryFlavour(t, testConnectionsAreUsedAgain) }

func testConnectionsAreUsedAgain(t *testing.T) {
	p := split(t)
	p.warm(t, bed.Users.App, "test")
	p.warm(t, bed.Users.Empty, "test")
	known := map[string]bool{}
	fresh := 0
	const logins = 20
	for i := range 2 * logins {
		s := connect(t, p.addr, []user{bed.Users.App, bed.Users.Empty}[i%2], "test")
		id := s.value("SELECT CONNECTION_ID()")
		if i >= logins && !known[id] { // by then the replicas have what they need
			fresh++
		}
		known[id] = true
		s.close()
		p.settled(t, 0)
	}
	if fresh > logins/2 { // a few replace those that a login to a replica took
		t.Errorf("%d of the last %d sessions had a new connection with the primary, want idle ones to be used again", fresh, logins)
	}
}

// A user for whom there is nothing idle when its login goes to a replica is not
// turned away: the proxy opens a connection with the primary besides.
func TestANewUserWhileReplicasAreWarmed(t *testing.T) {
	onEveryFlavour(t, testANewUserWhileReplicasAreWarmed)
}

func testANewUserWhileReplicasAreWarmed(t *testing.T) {
	p := split(t)
	s := connect(t, p.addr, bed.Users.App, "test")
	s.close()
	p.settled(t, 0)
	for range 3 {
		n := connect(t, p.addr, bed.Users.Empty, "test")
		n.exec("INSERT INTO own (client, v) VALUES (8401, 1)")
		n.close()
	}
	off := start(t, setup{script: "rw-splitting.lua", change: []string{"warm_up = true", "warm_up = false"},
		backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs(), args: []string{"--event-threads=1"}})
	for i := range 8 {
		n := connect(t, off.addr, []user{bed.Users.App, bed.Users.Empty}[i%2], "test")
		n.exec("DO 0")
		n.close()
	}
}

// Sixteen clients at once, with mixed work, each with a model of what it must
// see. Reads of what a client has just written go to the primary by a hint or a
// transaction: replicas lag.
func TestManyClients(t *testing.T) { onEveryFlavour(t, testManyClients) }

func testManyClients(t *testing.T) {
	for i, name := range []string{"one event thread", "two event threads", "connections that the proxy opens"} {
		t.Run(name, func(t *testing.T) {
			base := 100 * (i + 1)
			args := [][]string{{"--event-threads=1"}, {"--event-threads=2"}, {"--event-threads=2", owning(t)}}[i]
			p := start(t, setup{script: "rw-splitting.lua", change: []string{"primary_after_write = 2", "primary_after_write = 0"},
				backends: []string{bed.Primary.Addr}, replicas: bed.replicaAddrs(), args: args})
			for n := 0; n < 2 && i < 2; n++ {
				p.warm(t, bed.Users.App, "test")
				p.warm(t, bed.Users.Empty, "test")
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			where := map[string]int{}
			for i := range 16 {
				wg.Go(func() {
					c := &modelClient{t: t, addr: p.addr, number: base + i, user: []user{bed.Users.App, bed.Users.Empty}[i%2], rnd: rand.New(rand.NewPCG(uint64(i), 1))}
					c.run(10)
					mu.Lock()
					defer mu.Unlock()
					for k, v := range c.where {
						where[k] += v
					}
				})
			}
			wg.Wait()
			total := where["1"] + where["2"] + where["3"]
			t.Logf("free reads by server: %v", where)
			if total < 100 || where["2"] == 0 || where["3"] == 0 {
				t.Errorf("free reads went to %v, want both replicas to have some", where)
			}
		})
	}
}

// modelClient does random work and knows what must come back.
type modelClient struct {
	t      *testing.T
	addr   string
	number int
	user   user
	rnd    *rand.Rand
	where  map[string]int // free reads by server

	s        *session
	variable string // of @v
	db       string
	charset  string
	lastID   string
	temp     int // rows of the temporary table, -1 without one
	rows     int // of this client in own, over all of its sessions
}

func (c *modelClient) run(sessions int) {
	c.where = map[string]int{}
	for n := 0; n < sessions && !c.t.Failed(); n++ {
		if err := c.open(); err != nil {
			c.t.Errorf("client %d: %v", c.number, err)
			return
		}
		for range 5 + c.rnd.IntN(40) {
			if err := c.work(); err != nil {
				c.t.Errorf("client %d: %v", c.number, err)
				break
			}
		}
		c.s.close()
	}
}

func (c *modelClient) open() error {
	c.variable, c.db, c.charset, c.lastID, c.temp = "NULL", "test", "utf8mb4", "0", -1
	var err error
	c.s, err = tryConnect(c.t, c.addr, c.user, "test")
	return err
}

func (c *modelClient) want(query, want string) error {
	got, err := c.s.tryValue(query)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	if got != want {
		return fmt.Errorf("%s: %s, want %s", query, got, want)
	}
	return nil
}

func (c *modelClient) exec(query string) error {
	_, err := c.s.ExecContext(c.t.Context(), query)
	if err != nil {
		return fmt.Errorf("%s: %w", query, err)
	}
	return nil
}

func (c *modelClient) work() error {
	n := c.rnd.IntN(1000)
	own := fmt.Sprintf("SELECT COUNT(*) FROM test.own WHERE client = %d", c.number)
	switch kind := c.rnd.IntN(40); {
	case kind < 20: // a free read
		rows, err := c.s.all("SELECT COUNT(*), @@server_id, DATABASE(), CHARSET('a'), SUBSTRING_INDEX(USER(), '@', 1) FROM test.fixed")
		if err != nil {
			return fmt.Errorf("a free read: %w", err)
		}
		if got, want := strings.Join(append(rows[0][:1:1], rows[0][2:]...), " "), fmt.Sprintf("100 %s %s %s", c.db, c.charset, c.user.Name); got != want {
			return fmt.Errorf("a free read: %s, want %s", got, want)
		}
		c.where[rows[0][1]]++
		return nil
	case kind < 22:
		return c.want(fmt.Sprintf("SELECT word FROM test.fixed WHERE id = %d", 1+n%100), fmt.Sprintf("word %d", 1+n%100))
	case kind < 25: // an insert
		r, err := c.s.ExecContext(c.t.Context(), fmt.Sprintf("INSERT INTO test.own (client, v) VALUES (%d, %d)", c.number, n))
		if err != nil {
			return fmt.Errorf("an insert: %w", err)
		}
		id, err := r.LastInsertId()
		c.lastID = fmt.Sprint(id)
		c.rows++
		return err
	case kind < 28:
		return c.want("SELECT LAST_INSERT_ID()", c.lastID)
	case kind < 30:
		return c.want("/* route=primary */ "+own, fmt.Sprint(c.rows))
	case kind < 33:
		return c.transaction(own)
	case kind < 34:
		c.db = []string{"test", "other"}[n%2]
		return c.exec("USE " + c.db)
	case kind < 35:
		c.charset = []string{"utf8mb4", "latin1"}[n%2]
		return c.exec("SET NAMES " + c.charset)
	case kind < 36:
		if err := c.want(fmt.Sprintf("SELECT id FROM test.fixed WHERE id <= %d", 1+n%9), "1"); err != nil {
			return err
		}
		return c.want("SELECT FOUND_ROWS()", fmt.Sprint(1+n%9))
	case kind < 37:
		return c.prepared(n)
	case kind < 38:
		if n%3 == 0 { // the rest of this session is on the primary then
			c.variable = fmt.Sprint(n)
			return c.exec("SET @v = " + c.variable)
		}
		if c.variable == "NULL" {
			return nil
		}
		return c.want("SELECT @v", c.variable)
	case kind < 39:
		if c.temp < 0 {
			if n%3 > 0 {
				return nil
			}
			c.temp = 0
			return c.exec("CREATE TEMPORARY TABLE test.tmp (i INT)")
		}
		c.temp++
		if err := c.exec("INSERT INTO test.tmp VALUES (1)"); err != nil {
			return err
		}
		return c.want("SELECT COUNT(*) FROM test.tmp", fmt.Sprint(c.temp))
	default:
		if _, err := c.s.all("SELECT no_such_column FROM test.fixed"); err == nil || !strings.Contains(err.Error(), "1054") {
			return fmt.Errorf("an unknown column: %w", err)
		}
		return nil
	}
}

func (c *modelClient) transaction(own string) error {
	if err := c.exec("START TRANSACTION"); err != nil {
		return err
	}
	if err := c.exec(fmt.Sprintf("INSERT INTO test.own (id, client, v) VALUES (NULL, %d, 1), (NULL, %d, 2)", c.number, c.number)); err != nil {
		return err
	}
	if err := c.want(own, fmt.Sprint(c.rows+2)); err != nil {
		return err
	}
	id, err := c.s.tryValue("SELECT LAST_INSERT_ID()")
	if err != nil {
		return err
	}
	c.lastID = id
	if c.rnd.IntN(2) == 0 {
		return c.exec("ROLLBACK")
	}
	c.rows += 2
	return c.exec("COMMIT")
}

func (c *modelClient) prepared(n int) error {
	st, err := c.s.PrepareContext(c.t.Context(), "SELECT ? + 1, DATABASE()")
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer st.Close()
	for i := range 2 {
		var got int
		var db string
		if err := st.QueryRowContext(c.t.Context(), n+i).Scan(&got, &db); err != nil || got != n+i+1 || db != c.db {
			return fmt.Errorf("prepared: %d in %s, %w; want %d in %s", got, db, err, n+i+1, c.db)
		}
	}
	return nil
}
