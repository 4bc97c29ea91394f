package e2e

import (
	"testing"
)

// Logins and COM_CHANGE_USER. Greeting and challenges are compared with what
// is random in them blanked; every packet's length and sequence id counts.
func TestSameLoginsDirectlyAndThroughTheProxy(t *testing.T) {
	onEveryFlavour(t, sameLogins)
}

func sameLogins(t *testing.T) {
	p := startProxy(t, []string{bed.Primary.Addr})
	app, empty, ed := bed.Users.App, bed.Users.Empty, bed.Users.Ed25519
	const noDB = capsBase &^ capConnectWithDB
	for _, tc := range []struct {
		name     string
		l        login
		admitted bool
		not      string // the flavour that it does not go with
	}{
		{"the default plugin", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase}, true, ""},
		{"without a database", login{user: app.Name, password: app.Password, caps: noDB}, true, ""},
		{"empty password", login{user: empty.Name, db: bed.Database, caps: capsBase}, true, ""},
		{"ed25519", login{user: ed.Name, password: ed.Password, db: bed.Database, caps: capsBase | capDeprecateEOF}, true, ""},
		{"with attributes", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase | capConnectAttrs,
			attrs: map[string]string{"_client_name": "e2e"}}, true, ""},
		{"found rows", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase | capFoundRows}, true, ""},
		// MySQL has no plugin left that such a client knows.
		{"without plugin names", login{user: app.Name, password: app.Password, db: bed.Database, caps: capsBase &^ capPluginAuth}, true, "mysql9"},
		{"without plugin names, refused", login{user: app.Name, password: "wrong", db: bed.Database, caps: capsBase &^ capPluginAuth}, false, ""},
		{"wrong password", login{user: app.Name, password: "wrong", db: bed.Database, caps: capsBase}, false, ""},
		{"empty password where there is one", login{user: app.Name, db: bed.Database, caps: capsBase}, false, ""},
		{"wrong ed25519 password", login{user: ed.Name, password: "wrong", db: bed.Database, caps: capsBase}, false, ""},
		// Two of them: the servers choose by the name how to ask a user that does not exist.
		{"unknown user", login{user: "nobody", password: "x", db: bed.Database, caps: capsBase}, false, ""},
		{"another unknown user", login{user: "stranger", password: "x", db: bed.Database, caps: capsBase}, false, ""},
		{"unknown database", login{user: app.Name, password: app.Password, db: "nowhere", caps: capsBase}, false, ""},
		{"session tracking", login{user: app.Name, password: app.Password, db: bed.Database,
			caps: capsBase | capDeprecateEOF | capSessionTrack}, true, ""},
		{"native", loginOf(bed.Users.Native), true, ""},
		{"caching_sha2", loginOf(bed.Users.SHA2), true, ""},
		{"wrong caching_sha2 password", wrong(bed.Users.SHA2), false, ""},
		{"sha256", loginOf(bed.Users.SHA256), true, ""},
		{"wrong sha256 password", wrong(bed.Users.SHA256), false, ""},
		{"parsec", loginOf(bed.Users.Parsec), true, ""},
		{"wrong parsec password", wrong(bed.Users.Parsec), false, ""},
		{"two questions", loginOf(bed.Users.Dialog), true, ""},
		{"two questions, wrong password", wrong(bed.Users.Dialog), false, ""},
		{"an account that must use TLS", loginOf(bed.Users.TLS), false, ""},
		{"a locked account", loginOf(bed.Users.Locked), false, ""},
		{"an expired password", loginOf(bed.Users.Expired), !bed.mysql(), ""}, // MySQL turns away clients that do not announce that they can handle it
	} {
		if tc.not == bed.Flavour || tc.l.user == "" {
			continue // the flavour has no such plugin
		}
		t.Run(tc.name, func(t *testing.T) {
			admitted := false
			run := func(addr string) *trace {
				// Not what a login left in the server's cache: each way starts alike.
				if _, err := adminDB(t).Exec("FLUSH PRIVILEGES"); err != nil {
					t.Fatal(err)
				}
				return runScript(addr, nil, patience, func(c *rawConn) {
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
	// The second login of an account that the server has in its cache.
	if sha2 := bed.Users.SHA2; sha2.Name != "" {
		t.Run("caching_sha2 from the cache", func(t *testing.T) {
			run := func(addr string) *trace {
				l := loginOf(sha2)
				return runScript(addr, &l, patience, func(c *rawConn) { c.query("SELECT CURRENT_USER()") })
			}
			run(bed.Primary.Addr)
			if d := diff(run(bed.Primary.Addr), run(p.addr)); d != "" {
				t.Error(d)
			}
		})
	}
}

// loginOf is a plain login as u.
func loginOf(u user) login {
	return login{user: u.Name, password: u.Password, db: bed.Database, caps: capsBase}
}

// wrong is loginOf with a password that u has not.
func wrong(u user) login {
	l := loginOf(u)
	l.password = "wrong"
	return l
}

// The server answers a failed COM_CHANGE_USER after a second: few variants.
var changeUserCases = []corpusCase{
	{name: "change user", run: func(c *rawConn) {
		app, empty, ed := bed.Users.App, bed.Users.Empty, otherPlugin()
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
	{name: "change user with a wrong password", only: []string{"plain", "mariadb"}, run: func(c *rawConn) {
		app, ed := bed.Users.App, otherPlugin()
		c.query("SET @a = 1")
		if bed.mysql() { // it closes
			c.changeUser(app.Name, "wrong", c.db)
			c.expectClose()
		}
		c.changeUser(app.Name, "wrong", c.db)
		c.query("SELECT CURRENT_USER(), DATABASE(), @a")
		c.changeUser(ed.Name, "wrong", bed.Database)
		c.query("SELECT CURRENT_USER(), DATABASE(), @a")
	}},
	{name: "a short change user", only: []string{"plain"}, run: func(c *rawConn) {
		c.tr.note("> CHANGE_USER without its end")
		c.write(c.command(comChangeUser, []byte("app")))
		c.packet()
		if bed.mysql() { // it closes
			c.expectClose()
		}
		c.one(comPing)
	}},
}

// otherPlugin is an account with another plugin than the app user's.
func otherPlugin() user {
	if bed.mysql() {
		return bed.Users.SHA256
	}
	return bed.Users.Ed25519
}

// changeUser sends COM_CHANGE_USER and goes through its dialogue. The first
// answer is made from the connection's own challenge, as clients do.
func (c *rawConn) changeUser(name, password, db string) bool {
	c.tr.note("> CHANGE_USER to %s, database %q", name, db)
	c.write(c.command(comChangeUser, c.changeUserArg(name, password, db)))
	return c.authDialogue(pluginNative, password)
}

func (c *rawConn) changeUserArg(name, password, db string) []byte {
	auth := nativeResponse(password, c.challenge)
	b := append([]byte(name), 0, byte(len(auth)))
	b = append(append(b, auth...), db...)
	b = append(b, 0, 45, 0)
	b = append(b, "mysql_native_password\x00"...)
	if c.caps&capConnectAttrs != 0 {
		b = append(b, "\x09\x03key\x04abcd"...)
	}
	return b
}
