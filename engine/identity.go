package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"sync"

	"mysqlproxy/packet"
)

// This file is what the proxy owns of a client's identity: enough to log in as
// the same user at another backend (ownlogin.go). identityrelay.go is how it comes
// to own it in a login or a COM_CHANGE_USER.
//
// The secret is a password, or its SHA1, which is all that mysql_native_password
// needs. It lives as long as the session is this user's and is overwritten then.
// It lets nobody in: it is used only for a client that a backend has just let in,
// and there again the backend says yes or no.

// AuthMode says how the proxy comes to own what it needs to log in as a client's
// user.
type AuthMode uint8

// The modes.
const (
	AuthPassthrough AuthMode = iota // not at all
	AuthRelay                       // the client is asked for its password
	AuthUsersFile                   // Config.Users
	AuthSync                        // Config.Hashes
	AuthAuto                        // Users, else as AuthRelay, else Hashes; with a script nobody is asked
)

// UserSecret is what the users-file says of a user.
type UserSecret struct {
	Password []byte
	// Hash is packet.NativeHash of the password, where Hashed says that the file
	// has that in the place of the password. It is good for accounts with
	// packet.PluginNative, whose clients' responses show the rest.
	Hash   [sha1.Size]byte
	Hashed bool
}

// identity is who a client session is logged in as, and what the proxy owns of
// it. It belongs to the client session.
type identity struct {
	user       string
	secret     *packet.Secret
	attributes []byte // the connection attributes that the client has sent
	source     source // of the secret
}

// source is how the proxy has come by a secret. Its String is the word of the
// console and the label of the metric.
type source uint8

const (
	sourceUsersFile source = iota
	sourceRelay            // the client has given it, or said it in a way that can be read
	sourceSync             // the hash that the server has
	sources                // their number
)

func (s source) String() string { return [...]string{"users_file", "relay", "sync"}[s] }

// mark tells secrets apart without being one.
type mark [sha256.Size]byte

// markKey is of this process only.
var markKey = func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it does not fail
	return key
}()

// mark is that of id's secret.
func (id *identity) mark() mark { return id.secret.MAC(markKey) }

// anonymity is why the proxy owns no identity. Its String is the field of the log
// line and the label of the metric.
type anonymity uint8

const (
	anonNone     anonymity = iota // it owns one, or nobody is logged in yet
	anonOff                       // --auth=passthrough
	anonClient                    // the client does not answer caching_sha2_password
	anonPlain                     // it might refuse to give its password without TLS
	anonPlugin                    // the account's plugin wants more than a password
	anonUnlisted                  // the users-file does not have the user
	anonHash                      // the users-file's hash is of no use
	anonUnsynced                  // the server has no such hash
	anonUnheard                   // the client did not say it
	anonymities                   // their number
)

var anonymityTable = [anonymities]struct{ name, hint string }{
	anonNone:     {"none", ""},
	anonOff:      {"passthrough", "--auth=passthrough keeps no passwords; set --auth=auto"},
	anonClient:   {"client_plugin", "its client does not answer caching_sha2_password; list the user in --users-file, or set --auth-sync-user for accounts with mysql_native_password"},
	anonPlain:    {"client_plain", "its client uses no TLS and may not ask for a server's key; have it use TLS, or list the user in --users-file"},
	anonPlugin:   {"account_plugin", "the account's plugin wants more than a password; change the account, or route its reads to another listener"},
	anonUnlisted: {"not_listed", "--users-file does not have the user; add it, or set --auth=auto"},
	anonHash:     {"hash", "the hash in --users-file is not of this password, or the account is not of mysql_native_password; give the password itself"},
	anonUnsynced: {"not_synced", "the server has no hash of mysql_native_password for the user; set --auth=auto, or list the user in --users-file"},
	anonUnheard:  {"not_heard", "its client has not shown its password in a form that can be used; list the user in --users-file"},
}

func (a anonymity) String() string { return anonymityTable[a].name }

// owns tells whether the proxy wants to own c's identity.
func (c *client) owns() bool {
	return (c.sp != nil || c.sx != nil && !c.ofAdmin()) && c.terms.Auth != AuthPassthrough
}

// relays tells whether clients may be asked for their passwords, so that they are
// shown a greeting for it. Scripts see logins as servers and clients make them,
// unless that was asked for.
func (c *client) relays() bool {
	m := c.terms.Auth
	return c.owns() && (m == AuthRelay || m == AuthAuto && c.sx == nil) && c.terms.PasswordKey != nil
}

// identified notes as whom a backend has let c in: id, or nobody that the proxy
// could be, for why.
func (c *client) identified(id *identity, user string, why anonymity) {
	c.known(-1)
	c.forget()
	c.id, c.anonymous = id, why
	c.known(1)
	if user != "" {
		c.user = user
	}
	e := c.loop.engine
	if id != nil {
		e.cfg().Log.Debug("the proxy can log in as this user", "user", user, "client", c.remote.String())
		return
	}
	if first := e.anonymous.count(user, why); first {
		so := "statements of a user all go to read/write backends: "
		if c.sx != nil {
			so = "the script has no sessions of a user but those of logins: "
		}
		e.cfg().Log.Log(context.Background(), LevelMessage, so+anonymityTable[why].hint,
			"user", user, "reason", why.String(), "client", c.remote.String())
	}
}

// known adds n to the sessions that are known as c is, if it splits.
func (c *client) known(n int) {
	switch l := c.loop; {
	case c.sp == nil:
	case c.id != nil:
		l.owned[c.id.source] += n
	case c.anonymous != anonNone:
		l.anonymous[c.anonymous] += n
	}
}

// forget wipes the identity.
func (c *client) forget() {
	if c.id != nil {
		c.id.secret.Clear()
		c.id = nil
	}
}

// strangers counts the sessions without an identity. All loops share it.
type strangers struct {
	mu    sync.Mutex
	n     [anonymities]uint64
	noted map[stranger]bool
}

type stranger struct {
	user string
	why  anonymity
}

// maxNoted bounds for how many users the log says why, so that logins of ever
// new ones take no memory.
const maxNoted = 1000

// count tells whether this is the first session of user for this reason.
func (s *strangers) count(user string, why anonymity) (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n[why]++
	who := stranger{user, why}
	if s.noted[who] || len(s.noted) >= maxNoted {
		return false
	}
	if s.noted == nil {
		s.noted = map[stranger]bool{}
	}
	s.noted[who] = true
	return true
}

// Anonymous is how many logins there were so far as whose user the proxy cannot
// log in itself, by the name of the reason. Any goroutine may call it.
func (e *Engine) Anonymous() map[string]uint64 {
	e.anonymous.mu.Lock()
	defer e.anonymous.mu.Unlock()
	m := map[string]uint64{}
	for why := anonOff; why < anonymities; why++ {
		m[why.String()] = e.anonymous.n[why]
	}
	return m
}

// attribute is the value of a connection attribute, nil if it is not there.
func attribute(attrs []byte, name string) []byte {
	for {
		key, value, rest, ok := packet.NextAttribute(attrs)
		if !ok {
			return nil
		}
		if string(key) == name {
			return value
		}
		attrs = rest
	}
}
