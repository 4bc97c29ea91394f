package e2e

import (
	"testing"
	"time"
)

// Logins and COM_CHANGE_USER. Greeting and challenges are compared with what
// is random in them blanked; every packet's length and sequence id counts.
func TestSameLoginsDirectlyAndThroughTheProxy(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr})
	app, empty, ed := bed.Users.App, bed.Users.Empty, bed.Users.Ed25519
	const noDB = capsBase &^ capConnectWithDB
	for _, tc := range []struct {
		name     string
		l        login
		admitted bool
	}{
		{"native password", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase}, true},
		{"without a database", login{user: app.Name, password: app.Password, caps: noDB}, true},
		{"empty password", login{user: empty.Name, db: bed.Database, caps: capsBase}, true},
		{"ed25519", login{user: ed.Name, password: ed.Password, db: bed.Database, caps: capsBase | capDeprecateEOF}, true},
		{"with attributes", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase | capConnectAttrs,
			attrs: map[string]string{"_client_name": "e2e"}}, true},
		{"found rows", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase | capFoundRows}, true},
		{"without plugin names", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase &^ capPluginAuth}, true},
		{"wrong password", login{user: app.Name, password: "wrong", db: bed.Database, caps: capsBase}, false},
		{"empty password where there is one", login{user: app.Name, db: bed.Database, caps: capsBase}, false},
		{"wrong ed25519 password", login{user: ed.Name, password: "wrong", db: bed.Database, caps: capsBase}, false},
		{"unknown user", login{user: "nobody", password: "x", db: bed.Database, caps: capsBase}, false},
		{"unknown database", login{user: app.Name, password: app.Password, db: "nowhere", caps: capsBase}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			admitted := false
			run := func(addr string) *trace {
				return runScript(addr, nil, 20*time.Second, func(c *rawConn) {
					if admitted = c.login(tc.l); !admitted {
						c.expectClose()
					}
					c.query("SELECT CURRENT_USER(), DATABASE()")
					c.query("DO 1")
				})
			}
			direct := run(bed.Primary.Addr)
			if admitted != tc.admitted {
				t.Fatalf("direct login: admitted is %t, want %t; %s", admitted, tc.admitted, direct.last())
			}
			if d := diff(direct, run(p.addr)); d != "" {
				t.Error(d)
			}
		})
	}
}

// The server answers a failed COM_CHANGE_USER after a second: few variants.
var changeUserCases = []corpusCase{
	{name: "change user", run: func(c *rawConn) {
		app, empty, ed := bed.Users.App, bed.Users.Empty, bed.Users.Ed25519
		c.query("SET @a = 1")
		c.prepare("SELECT 1")
		c.changeUser(empty.Name, "", bed.Database)
		c.query("SELECT CURRENT_USER(), DATABASE(), @a")
		c.execute(0, 0) // unknown now
		c.changeUser(ed.Name, ed.Password, bed.Database)
		c.query("SELECT CURRENT_USER(), DATABASE()")
		c.changeUser(app.Name, app.Password, "")
		c.query("SELECT CURRENT_USER(), DATABASE()")
		c.query("SELECT 1; SELECT 2")
	}},
	{name: "change user with a wrong password keeps the session", only: []string{"plain", "mariadb"}, run: func(c *rawConn) {
		app, ed := bed.Users.App, bed.Users.Ed25519
		c.query("SET @a = 1")
		c.changeUser(app.Name, "wrong", corpusDB)
		c.query("SELECT CURRENT_USER(), DATABASE(), @a")
		c.changeUser(ed.Name, "wrong", bed.Database)
		c.query("SELECT CURRENT_USER(), DATABASE(), @a")
	}},
	{name: "a short change user", only: []string{"plain"}, run: func(c *rawConn) {
		c.tr.note("> CHANGE_USER without its end")
		c.write(c.command(comChangeUser, []byte("app")))
		c.packet()
		c.one(comPing)
	}},
}

// changeUser sends COM_CHANGE_USER and goes through its dialogue. The first
// answer is made from the connection's own challenge, as clients do.
func (c *rawConn) changeUser(name, password, db string) {
	c.tr.note("> CHANGE_USER to %s, database %q", name, db)
	auth := nativeResponse(password, c.challenge)
	b := append([]byte(name), 0, byte(len(auth)))
	b = append(append(b, auth...), db...)
	b = append(b, 0, 45, 0)
	b = append(b, "mysql_native_password\x00"...)
	if c.caps&capConnectAttrs != 0 {
		b = append(b, "\x09\x03key\x04abcd"...)
	}
	c.write(c.command(comChangeUser, b))
	c.authDialogue(password)
}
