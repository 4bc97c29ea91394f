package engine

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strconv"

	"mysqlproxy/packet"
)

// This file is how the proxy comes to own a client's password in the dialogue of
// a login or a COM_CHANGE_USER.
//
// The client is shown a greeting with caching_sha2_password, and what it answers
// goes to the server. One that has answered by that plugin can be asked for the
// password itself, as a server would ask; and what the server says to its answer
// tells whether there is a use for it:
//
//	server                  proxy                                 client
//	OK, ERR, or a plugin
//	that is not for us  --> passes on, and sees what it can  <--> (as without us)
//	01 03               --> held: the OK waits; 01 04 ----------> password
//	01 04, or a switch  --> held;               01 04 ----------> password
//	        <--- Authenticator answers what was held <---
//	OK, ERR             -----------------------------------------> OK, ERR
//
// Only a client that gives its password then is asked: over TLS or a unix socket
// they all do, elsewhere those do that ask for a server's key unbidden. It gets
// the proxy's. A COM_CHANGE_USER begins with a switch of the server's; if that is
// to another plugin, the client is switched to caching_sha2_password first.

// owningStep is where the proxy stands between the two.
type owningStep uint8

const (
	ownWatch     owningStep = iota // they talk, it looks on
	ownFirst                       // the client was switched before its login went to the server
	ownReady                       // the client's response has gone to the server
	ownChange                      // a COM_CHANGE_USER has
	ownSwitched                    // the server has switched the client to caching_sha2_password
	ownChallenge                   // the proxy has
	ownAsked                       // the client was asked for its password
	ownKeyed                       // and has the proxy's key for it
	ownAnswer                      // the proxy answers the server
)

// owning is one such dialogue. It belongs to its auth.
type owning struct {
	c          *client
	a          *auth
	user       string
	attributes []byte
	step       owningStep
	asks       bool       // the client can be asked for its password, and there is a use for it
	late       bool       // it does so once it is switched
	listed     bool       // in the users-file,
	entry      UserSecret // as this

	change   bool // it is a COM_CHANGE_USER, to this:
	database string
	charset  byte // the collation

	login    []byte // ownFirst: the login packet's payload
	nonce    []byte // the challenge that the client has, of caching_sha2_password
	response []byte // of the client's, to that
	held     []byte // what the server has said, if the client was asked because of it
	fast     bool   // it was that it knows the client's response for right
	answers  *packet.Authenticator

	// What was seen.
	seen      *packet.Secret
	source    source // of what secret returns
	native    []byte // the client's last response, if it was that plugin's,
	mixed     []byte // to this challenge
	empty     bool   // the last response was that of an empty password
	encrypted bool   // the password goes by, for the server's eyes only
	questions int    // of dialog, that were answered
	other     bool   // the last plugin wants more than a password
	factors   bool   // so does the account
}

// newOwning begins with a login or a COM_CHANGE_USER of user.
func (c *client) newOwning(user, attributes []byte) *owning {
	cfg := c.terms
	o := &owning{c: c, a: c.auth, user: string(user), attributes: bytes.Clone(attributes)}
	if (cfg.Auth == AuthUsersFile || cfg.Auth == AuthAuto) && cfg.Users != nil {
		o.entry, o.listed = cfg.Users(o.user)
	}
	o.asks = c.relays() && (!o.listed || o.entry.Hashed)
	return o
}

// meets takes note of what the login of a client, in for short, shows of it.
func (o *owning) meets(in packet.Login) {
	c := o.c
	c.gives = c.safe() || asksForKeys(in.Attributes, c.shown&packet.CapSSL != 0)
	o.nonce = bytes.Clone(o.a.challenge[:min(len(o.a.challenge), packet.ChallengeLen)])
	switch {
	case string(in.Plugin) == packet.PluginCachingSHA2 && len(in.AuthResponse) == sha256.Size:
		c.knowsSHA2 = true
	case len(in.AuthResponse) == nativeLen && switches(in.Attributes):
		c.knowsSHA2, o.late = true, true
	}
	o.asks = o.asks && c.gives && c.knowsSHA2
}

// enrolls takes the login's payload and tells whether it has to wait, for the
// client is asked first.
func (o *owning) enrolls(payload []byte) (waits bool) {
	c := o.c
	if !o.asks || !o.late {
		return false
	}
	o.asked()
	o.step, o.login = ownFirst, bytes.Clone(payload)
	a := packet.AuthSwitch{Plugin: []byte(packet.PluginCachingSHA2), Data: o.nonce}
	c.carry(toClient, a.Append(nil))
	return true
}

const nativeLen = 20 // bytes of mysql_native_password's response

// changes takes a COM_CHANGE_USER.
func (o *owning) changes(u packet.ChangeUser) {
	if o.asks = o.asks && o.c.gives && o.c.knowsSHA2; o.asks {
		o.step = ownChange
	}
	o.change, o.database, o.charset = true, string(u.Database), byte(u.Collation)
	o.watches(string(u.Plugin), u.AuthResponse)
	o.native = nil // to a challenge of long ago
}

// sends is told of the login that goes to the server.
func (o *owning) sends(in packet.Login) {
	plugin := string(in.Plugin)
	if o.c.server.caps&packet.CapPluginAuth == 0 {
		plugin = packet.PluginNative
	}
	if o.step = ownWatch; o.asks && plugin == packet.PluginCachingSHA2 && len(in.AuthResponse) == sha256.Size {
		o.step, o.response = ownReady, bytes.Clone(in.AuthResponse)
	}
	o.watches(plugin, in.AuthResponse)
}

// asksForKeys tells whether a client with these attributes, which has no TLS
// though it was offered or not, gives its password all the same: in exchange for a
// key, for which it asks by itself.
//
// libmariadb, to 3.3 at least, takes a connection for safe if it was told to use
// TLS where there is some, and sends its password readable if there is none. It
// must not be asked unless it has been offered TLS and did not want it.
func asksForKeys(attrs []byte, offered bool) bool {
	switch string(attribute(attrs, "_client_name")) {
	case "pymysql", "mysqlnd", "Go-MySQL-Driver", "Node-MySQL-2":
		return true
	case "libmariadb":
		return offered
	}
	return false
}

// switches tells whether a client that answers by mysql_native_password whatever
// the greeting says is known to follow a switch to caching_sha2_password.
func switches(attrs []byte) bool {
	var since [2]int // the version that could
	switch string(attribute(attrs, "_client_name")) {
	case "Node-MySQL-2":
		since = [2]int{2, 0}
	case "MariaDB connector/Node":
		since = [2]int{2, 5}
	case "MariaDB Connector/J":
		since = [2]int{2, 5}
	default:
		return false
	}
	parts := bytes.SplitN(attribute(attrs, "_client_version"), []byte("."), 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(string(parts[0]))
	minor, err2 := strconv.Atoi(string(parts[1]))
	return err == nil && err2 == nil && (major > since[0] || major == since[0] && minor >= since[1])
}

// holds tells whether what the server says next has to wait. o may be nil.
func (o *owning) holds() bool {
	return o != nil && o.fast && (o.step == ownAsked || o.step == ownKeyed)
}

// waits tells whether it is not the server's turn. o may be nil.
func (o *owning) waits() bool {
	if o == nil {
		return false
	}
	switch o.step {
	case ownFirst, ownSwitched, ownChallenge, ownAsked, ownKeyed:
		return true
	case ownWatch, ownReady, ownChange, ownAnswer:
	}
	return false
}

// told takes a packet of the server's, which is not the last one, and tells
// whether that was all: else it goes where it would without the proxy.
func (o *owning) told(p []byte) (taken bool) {
	a := o.a
	switch o.step {
	case ownAnswer:
		o.answer(p)
		return true
	case ownReady, ownChange:
		switch {
		case len(p) > 0 && p[0] == 0xfe:
			return o.switched(p)
		case o.step == ownReady && a.plugin == packet.PluginCachingSHA2 && len(p) == 2 && p[0] == 1 &&
			(p[1] == packet.CachingSHA2FastOK || p[1] == packet.CachingSHA2FullAuth):
			o.fast = p[1] == packet.CachingSHA2FastOK
			o.ask(p)
			return true
		}
		o.step = ownWatch
	case ownWatch, ownFirst, ownSwitched, ownChallenge, ownAsked, ownKeyed:
	}
	o.factors = o.factors || len(p) > 0 && p[0] == 2 && a.plugin != packet.PluginDialog
	return false
}

// switched takes a switch of the server's.
func (o *owning) switched(p []byte) (taken bool) {
	sw, err := packet.ParseAuthSwitch(p)
	first := o.step == ownChange
	o.step = ownWatch
	if err != nil {
		return false
	}
	switch plugin := string(sw.Plugin); plugin {
	case packet.PluginCachingSHA2:
		o.step, o.nonce = ownSwitched, bytes.Clone(sw.Data)
	case packet.PluginNative, packet.PluginSHA256, packet.PluginEd25519, packet.PluginParsec:
		switch {
		case o.listed && plugin == packet.PluginNative: // its response shows all that the hash does not
		case first:
			o.challenge(p)
			return true
		default:
			o.ask(p)
			return true
		}
	}
	return false
}

// challenge switches the client to caching_sha2_password, for the server has to
// another plugin.
func (o *owning) challenge(p []byte) {
	o.held = bytes.Clone(p)
	o.nonce = make([]byte, packet.ChallengeLen)
	if _, err := rand.Read(o.nonce); err != nil {
		o.c.end(ReasonInternal, err)
		return
	}
	for i, b := range o.nonce {
		o.nonce[i] = '%' + b%('~'-'%'+1) // clients take neither a NUL nor a $ for a part of it
	}
	o.step = ownChallenge
	o.asked()
	a := packet.AuthSwitch{Plugin: []byte(packet.PluginCachingSHA2), Data: o.nonce}
	o.c.carry(toClient, a.Append(nil))
}

// ask has the client give its password, for the server has said p.
func (o *owning) ask(p []byte) {
	o.step, o.held = ownAsked, bytes.Clone(p)
	o.asked()
	o.c.carry(toClient, []byte{1, packet.CachingSHA2FullAuth})
}

// asked has a script's session know that its client has been asked.
func (o *owning) asked() {
	if x := o.c.sx; x != nil {
		x.switched = true
	}
}

// heard takes a packet of the client's, and tells whether that was all.
func (o *owning) heard(p []byte) (taken bool) {
	c := o.c
	switch o.step {
	case ownFirst:
		o.enrolled(p)
		return true
	case ownSwitched:
		if o.step = ownWatch; len(p) == sha256.Size {
			o.step, o.response = ownReady, bytes.Clone(p)
		}
	case ownChallenge:
		switch {
		case len(p) == sha256.Size:
			o.ask(o.held)
		case isEmpty(p):
			o.password(nil)
		default:
			c.end(ReasonClientProtocol, nil)
		}
		return true
	case ownAsked:
		return o.given(p)
	case ownKeyed:
		o.decrypt(p, func() { c.end(ReasonAuthKey, nil) })
		return true
	case ownAnswer: // it was not asked
		c.end(ReasonClientProtocol, nil)
		return true
	case ownReady:
		o.step = ownWatch // nor here, but that is the server's matter
	case ownWatch, ownChange:
	}
	o.watches(o.a.plugin, p)
	return false
}

// isEmpty tells whether p is the response of an empty password.
func isEmpty(p []byte) bool { return len(p) == 0 || len(p) == 1 && p[0] == 0 }

// enrolled makes the login of the first one and the client's answer.
func (o *owning) enrolled(p []byte) {
	c := o.c
	in, err := packet.ParseLogin(o.login, c.shown)
	if err != nil {
		c.end(ReasonClientProtocol, err)
		return
	}
	in.Plugin, in.AuthResponse = []byte(packet.PluginCachingSHA2), bytes.Clone(p)
	payload := in.Append(nil, c.shown)
	o.login = nil
	c.sendLogin(c.server, payload, in)
}

// given takes what the client answers to the question for its password.
func (o *owning) given(p []byte) (taken bool) {
	c := o.c
	switch {
	case len(p) == 1 && p[0] == packet.CachingSHA2KeyRequest:
		o.step = ownKeyed
		c.carry(toKey, nil)
	case c.safe() && len(p) > 0 && p[len(p)-1] == 0:
		o.password(p[:len(p)-1])
	default: // for a key that it knows, the proxy's perhaps
		p = bytes.Clone(p)
		o.decrypt(p, func() { o.unreadable(p) })
	}
	return true
}

// decrypt takes a password that is encrypted, for the proxy's key if that can be.
func (o *owning) decrypt(p []byte, fails func()) {
	cipher := bytes.Clone(p)
	o.c.withKey(func(key *rsa.PrivateKey) func() {
		password, err := packet.DecryptPassword(cipher, o.nonce, key)
		if err != nil {
			return fails
		}
		return func() {
			o.password(password)
			clear(password)
		}
	})
}

// unreadable goes on without the password, which the client has encrypted as p
// for another key than the proxy's.
func (o *owning) unreadable(p []byte) {
	c := o.c
	held, fast := o.held, o.fast
	o.step, o.held, o.fast = ownWatch, nil, false
	switch _, serverSafe := o.a.safe(); {
	case fast:
		c.server.conn.Resume()
	case held[0] == 0xfe:
		o.pass(held)
	case serverSafe:
		c.end(ReasonAuthKey, nil)
	default: // it is for the server's
		o.encrypted = true
		c.carry(toServer, p)
	}
}

// pass takes a packet of the server's to the client, as if the proxy had not
// looked at it.
func (o *owning) pass(p []byte) {
	to, out, err := o.a.fromServer(p)
	if err != nil {
		o.c.end(ReasonServerProtocol, err)
		return
	}
	o.c.carry(to, out)
}

// password goes on with the client's password, which is borrowed.
func (o *owning) password(p []byte) {
	c := o.c
	if o.fast {
		want := packet.CachingSHA2Response(p, o.nonce)
		if subtle.ConstantTimeCompare(o.response, want[:]) == 1 {
			o.sees(p)
		}
		o.step, o.held, o.fast = ownWatch, nil, false
		c.server.conn.Resume()
		return
	}
	o.sees(p)
	held := o.held
	o.step, o.held = ownAnswer, nil
	o.answers = packet.NewAuthenticator(o.seen, c.server.safety().leg())
	if held[0] != 0xfe { // the server has gone one step already
		if _, _, err := o.answers.Greet([]byte(packet.PluginCachingSHA2), o.nonce); err != nil {
			c.end(ReasonServerProtocol, err)
			return
		}
	}
	o.answer(held)
}

// answer has the Authenticator answer the server. p is borrowed.
func (o *owning) answer(p []byte) {
	if !o.answers.Costly(p) {
		response, speaks, err := o.answers.Answer(p)
		o.speak(p, response, speaks, err)
		return
	}
	p = bytes.Clone(p)
	o.c.aside(func() func() {
		response, speaks, err := o.answers.Answer(p)
		return func() { o.speak(p, response, speaks, err) }
	})
}

// speak says to the server what answers p. A switch to a plugin that cannot be
// answered is the client's.
func (o *owning) speak(p, response []byte, speaks bool, err error) {
	var fault *packet.PluginError
	switch {
	case errors.As(err, &fault) && p[0] == 0xfe:
		o.step = ownWatch
		o.unsee()
		o.pass(p)
	case err != nil:
		o.c.end(ReasonServerProtocol, err)
	case speaks:
		o.c.carry(toServer, response)
		clear(response)
	}
}

// watches looks at a response of the client's.
func (o *owning) watches(plugin string, p []byte) {
	a := o.a
	o.native, o.empty, o.other = nil, false, false
	switch plugin {
	case packet.PluginNative:
		if o.empty = len(p) == 0; len(p) == nativeLen {
			o.native, o.mixed = bytes.Clone(p), bytes.Clone(a.challenge)
		}
	case packet.PluginCachingSHA2:
		switch {
		case a.plugin == plugin && a.step == authFull:
			asks := len(p) == 1 && p[0] == packet.CachingSHA2KeyRequest
			if o.encrypted = o.encrypted || asks; !o.encrypted && a.clientIs != readable {
				o.sees(bytes.TrimSuffix(p, []byte{0}))
			}
		default:
			o.empty = isEmpty(p)
		}
	case packet.PluginSHA256:
		asks := len(p) == 1 && p[0] == packet.SHA256KeyRequest
		o.encrypted = o.encrypted || asks
		if o.empty = isEmpty(p); !o.empty && !o.encrypted && a.clientIs == encrypted {
			o.sees(bytes.TrimSuffix(p, []byte{0}))
		}
	case packet.PluginClear:
		o.sees(bytes.TrimSuffix(p, []byte{0}))
	case packet.PluginDialog:
		if o.questions++; o.questions == 1 {
			o.sees(bytes.TrimSuffix(p, []byte{0}))
		}
		o.other = o.questions > 1
	case packet.PluginEd25519, packet.PluginParsec:
	default:
		o.other = true
	}
}

// sees keeps the password, which is borrowed.
func (o *owning) sees(password []byte) {
	o.unsee()
	if m := o.c.terms.Auth; m == AuthRelay || m == AuthAuto {
		o.seen = packet.NewSecret(password)
	}
}

// unsee forgets what was seen, unless a goroutine has it in hand: then it is
// called again. o may be nil.
func (o *owning) unsee() {
	if o == nil || o.seen == nil || o.a.busy {
		return
	}
	o.seen.Clear()
	o.seen = nil
}

// done is told that the server has let the client in.
func (o *owning) done() {
	if sp := o.c.sp; sp != nil && o.change {
		sp.database, sp.collation = o.database, o.charset
	}
	secret, why := o.secret()
	if secret == nil {
		o.c.identified(nil, o.user, why)
	} else {
		o.c.identified(&identity{user: o.user, secret: secret, attributes: o.attributes, source: o.source}, o.user, anonNone)
	}
}

// secret is what the proxy owns of the client now, or why it does not.
func (o *owning) secret() (*packet.Secret, anonymity) {
	cfg := o.c.terms
	mode := cfg.Auth
	seen := o.seen
	o.seen = nil
	if o.other = o.other || o.factors; seen != nil && (o.other || o.listed && !o.entry.Hashed) {
		seen.Clear()
		seen = nil
	}
	o.source = sourceUsersFile
	switch {
	case o.listed && !o.entry.Hashed:
		return packet.NewSecret(o.entry.Password), anonNone
	case seen != nil:
		o.source = sourceRelay
		return seen, anonNone
	case o.listed:
		if secret, ok := packet.VerifyNative(o.native, o.mixed, o.entry.Hash); ok {
			return packet.NewNativeSecret(secret), anonNone
		}
	}
	if o.empty && (mode == AuthRelay || mode == AuthAuto) {
		o.source = sourceRelay
		return packet.NewSecret(nil), anonNone
	}
	o.source = sourceSync
	if cfg.Hashes != nil && len(o.native) > 0 && (mode == AuthSync || mode == AuthAuto) {
		for _, hash := range cfg.Hashes(o.user) {
			if secret, ok := packet.VerifyNative(o.native, o.mixed, hash); ok {
				return packet.NewNativeSecret(secret), anonNone
			}
		}
	}
	switch {
	case mode == AuthUsersFile && o.listed:
		return nil, anonHash
	case mode == AuthUsersFile:
		return nil, anonUnlisted
	case mode == AuthSync:
		return nil, anonUnsynced
	case o.other:
		return nil, anonPlugin
	case !o.c.knowsSHA2:
		return nil, anonClient
	case !o.c.gives:
		return nil, anonPlain
	}
	return nil, anonUnheard
}
