package engine

import (
	"bytes"
	"crypto/rsa"
	"errors"
	"runtime"

	"mysqlproxy/packet"
)

// This file is authentication: the dialogue that follows a login or a
// COM_CHANGE_USER. Its packets pass between client and server, with the
// sequence ids that each side expects.
//
// A connection is safe if nobody can listen: TLS, or a unix socket. Some plugins
// send the password itself over a safe connection, and encrypt it for a key of
// the server's over any other. If only one of the two is safe, the proxy
// translates:
//
//	client safe, server not    password -> the server's key is asked for -> password, encrypted for it
//	server safe, client not    key asked for -> the proxy's own -> password, decrypted
//
// A password never goes over an unsafe connection on which its client has not
// put it.

// auth is such a dialogue. It belongs to a client session.
type auth struct {
	clientIs, serverIs safety

	plugin    string
	challenge []byte // the plugin's, which encrypted passwords are mixed with
	step      authStep
	password  []byte // held while the server's key is awaited

	// Sequence ids of the last packet on either side.
	client, server byte
	// login is the packet that begins the dialogue, held while what it must say
	// is not known; nil if it has passed.
	login func(response []byte)
	busy  bool // a goroutine computes for it: nothing moves meanwhile

	own *owning // nil if the proxy does not want to own the client's identity
}

// safety is who could listen on a connection.
type safety uint8

const (
	readable  safety = iota // anybody on the way
	local                   // nobody: a unix socket
	encrypted               // nobody: TLS
)

// safe tells which sides are safe to the plugin: a unix socket is to all but one.
func (a *auth) safe() (client, server bool) {
	if a.plugin == packet.PluginSHA256 {
		return a.clientIs == encrypted, a.serverIs == encrypted
	}
	return a.clientIs != readable, a.serverIs != readable
}

// authStep is where a translation stands.
type authStep uint8

const (
	authPlain     authStep = iota
	authFull               // the server wants the password itself
	authServerKey          // the server has been asked for its key
	authCipher             // the client has the proxy's key and will use it
	authThrough            // client and server manage without the proxy
)

// route is where what a side says has to go.
type route uint8

const (
	toServer route = iota
	toClient
	toKey     // the client asks for a key, and gets the proxy's
	toDecrypt // it is encrypted for the proxy's key
	toNobody  // no way is safe
)

// pluginOpenID sends a token that is as good as a password.
const pluginOpenID = "authentication_openid_connect_client"

// begin starts with a plugin, by the greeting or by a switch. challenge is
// borrowed.
func (a *auth) begin(plugin, challenge []byte) {
	a.plugin, a.challenge, a.step, a.password = string(plugin), bytes.Clone(challenge), authPlain, nil
}

// fromClient takes what the client's plugin says, bare. out borrows p.
func (a *auth) fromClient(p []byte) (to route, out []byte) {
	clientSafe, serverSafe := a.safe()
	switch {
	case clientSafe == serverSafe, a.step == authThrough:
		return toServer, p
	case a.step == authCipher:
		a.step = authThrough
		return toDecrypt, p
	}
	switch a.plugin {
	case packet.PluginCachingSHA2:
		if a.step == authFull {
			return a.secret(p, packet.CachingSHA2KeyRequest)
		}
	case packet.PluginSHA256:
		if len(bytes.Trim(p, "\x00")) > 0 {
			return a.secret(p, packet.SHA256KeyRequest)
		}
	case packet.PluginClear, packet.PluginDialog, pluginOpenID:
		if !serverSafe {
			return toNobody, nil
		}
	}
	return toServer, p
}

// secret takes a password, a password that is encrypted, or a request for a
// key.
func (a *auth) secret(p []byte, keyRequest byte) (to route, out []byte) {
	_, serverSafe := a.safe()
	switch asks := len(p) == 1 && p[0] == keyRequest; {
	case asks && serverSafe:
		a.step = authCipher
		return toKey, nil
	case asks:
		a.step = authThrough
		return toServer, p
	case serverSafe: // with a key that it knew already
		a.step = authThrough
		return toDecrypt, p
	}
	a.password = bytes.Clone(bytes.TrimSuffix(p, []byte{0}))
	a.step = authServerKey
	return toServer, []byte{keyRequest}
}

// fromServer takes a packet of the server's, which is not the last one. out
// borrows p. An error means that its key is none.
func (a *auth) fromServer(p []byte) (to route, out []byte, err error) {
	if len(p) == 0 {
		return toClient, p, nil
	}
	switch {
	case p[0] == 0xfe:
		if sw, err := packet.ParseAuthSwitch(p); err == nil {
			a.begin(sw.Plugin, sw.Data)
		}
	case p[0] == 2 && a.plugin != packet.PluginDialog: // the next factor, laid out like a switch
		if sw, err := packet.ParseAuthSwitch(append([]byte{0xfe}, p[1:]...)); err == nil {
			a.begin(sw.Plugin, sw.Data)
		}
	case p[0] != 1:
	case a.step == authServerKey:
		key, err := packet.ParsePublicKey(p[1:])
		if err != nil {
			return toNobody, nil, err
		}
		out, err := packet.EncryptPassword(a.password, a.challenge, key)
		clear(a.password)
		a.password, a.step = nil, authThrough
		return toServer, out, err
	case a.plugin == packet.PluginCachingSHA2 && len(p) > 1 && p[1] == packet.CachingSHA2FullAuth: // clients may not look at the length
		a.step = authFull
	}
	return toClient, p, nil
}

// says has a packet of the client's go where it has to.
func (c *client) says(pkt packet.Packet) {
	c.auth.client = pkt.Seq()
	if o := c.auth.own; o != nil && o.heard(pkt.Payload()) {
		return
	}
	c.carry(c.auth.fromClient(pkt.Payload()))
}

// carry takes out, which is borrowed, to where it belongs.
func (c *client) carry(to route, out []byte) {
	a := c.auth
	switch to {
	case toServer:
		if login := a.login; login != nil {
			a.login = nil
			login(out)
			return
		}
		a.server++
		c.server.conn.Write(packet.AppendPacket(nil, a.server, out))
	case toClient:
		a.client++
		c.write(packet.AppendPacket(nil, a.client, out))
	case toKey:
		c.withKey(func(key *rsa.PrivateKey) func() {
			pem, err := packet.AppendPublicKey(nil, &key.PublicKey)
			if err != nil {
				return func() { c.end(ReasonInternal, err) }
			}
			return func() { c.carry(toClient, packet.AppendAuthMoreData(nil, pem)) }
		})
	case toDecrypt:
		cipher, challenge := bytes.Clone(out), a.challenge // a is the loop's
		c.withKey(func(key *rsa.PrivateKey) func() {
			password, err := packet.DecryptPassword(cipher, challenge, key)
			if err != nil {
				return func() { c.end(ReasonAuthKey, nil) }
			}
			return func() {
				if c.auth.own != nil {
					c.auth.own.sees(password)
				}
				c.carry(toServer, append(password, 0))
				clear(password)
			}
		})
	case toNobody:
		c.end(ReasonAuthUnsafe, nil)
	}
}

// ciphers bounds how many goroutines compute for a login at a time, for the loops
// need the processors too.
var ciphers = make(chan struct{}, max(1, runtime.NumCPU()/2))

// withKey runs do with the proxy's key aside.
func (c *client) withKey(do func(*rsa.PrivateKey) func()) {
	key := c.loop.engine.cfg().PasswordKey
	if key == nil {
		c.end(ReasonAuthUnsafe, nil)
		return
	}
	c.aside(func() func() {
		if k := key(); k != nil {
			return do(k)
		}
		return func() { c.end(ReasonInternal, errNoKey) }
	})
}

// aside runs do on a goroutine of its own, since it takes a millisecond, and what
// do returns on the loop, unless the dialogue has ended by then.
func (c *client) aside(do func() func()) {
	a := c.auth
	a.busy = true
	c.hold()
	go func() {
		ciphers <- struct{}{}
		then := do()
		<-ciphers
		c.loop.Post(func() {
			if a.busy = false; c.auth != a || c.state >= clientClosing {
				a.own.unsee()
				return
			}
			then()
			c.release()
		})
	}()
}

var errNoKey = errors.New("there is no RSA key for passwords")

// sendsPassword tells whether a plugin's response may be the password.
func sendsPassword(plugin string) bool {
	switch plugin {
	case packet.PluginSHA256, packet.PluginClear, packet.PluginDialog, pluginOpenID:
		return true
	}
	return false
}
