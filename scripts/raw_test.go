package scripts

import (
	"errors"
	"net"
	"testing"
	"time"

	"mysqlproxy/packet"
)

// rawConn is a client that sends commands as they are.
type rawConn struct {
	t         *testing.T
	nc        net.Conn
	challenge []byte
	threadID  uint32
	caps      packet.Capability
	unread    []byte
}

const rawCaps = packet.CapLongPassword | packet.CapProtocol41 | packet.CapSecureConnection | packet.CapPluginAuth |
	packet.CapConnectWithDB | packet.CapTransactions | packet.CapMultiResults

// dialRaw logs in with mysql_native_password, or as the server wants it. For
// caching_sha2_password the account must be in the server's cache.
func dialRaw(t *testing.T, addr string, u user, dbname string) *rawConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c := &rawConn{t: t, nc: nc}
	p := c.packet()
	g, err := packet.ParseGreeting(p.Payload())
	if err != nil {
		t.Fatalf("greeting: %v", err)
	}
	c.challenge = append([]byte(nil), g.Challenge[:g.ChallengeSize]...)
	c.threadID, c.caps = g.ThreadID, packet.Effective(g.Capabilities, rawCaps)
	in := packet.Login{Capabilities: rawCaps, Collation: 45, User: []byte(u.Name), Database: []byte(dbname), Plugin: []byte(packet.PluginNative)}
	in.AuthResponse = c.secret(packet.PluginNative, u)
	c.write(packet.AppendPacket(nil, p.Seq()+1, in.Append(nil, g.Capabilities)))
	c.dialogue(u)
	return c
}

func (c *rawConn) secret(plugin string, u user) []byte {
	if u.Password == "" {
		return nil
	}
	if plugin == "caching_sha2_password" {
		r := packet.CachingSHA2Response([]byte(u.Password), c.challenge)
		return r[:]
	}
	r := packet.NativePassword([]byte(u.Password), c.challenge)
	return r[:]
}

// dialogue answers the server until it says OK.
func (c *rawConn) dialogue(u user) {
	c.t.Helper()
	for {
		p := c.packet()
		switch p.Payload()[0] {
		case 0:
			return
		case 0xfe:
			a, err := packet.ParseAuthSwitch(p.Payload())
			if err != nil {
				c.t.Fatal(err)
			}
			c.challenge = append([]byte(nil), a.Data[:min(20, len(a.Data))]...)
			c.write(packet.AppendPacket(nil, p.Seq()+1, c.secret(string(a.Plugin), u)))
		case 1: // caching_sha2_password: 3 is yes, and its OK follows
			if string(p.Payload()) != "\x01\x03" {
				c.t.Fatalf("login as %s: the server does not have it in its cache: %q", u.Name, p.Payload())
			}
		default:
			c.t.Fatalf("login as %s: %q", u.Name, p.Payload())
		}
	}
}

func (c *rawConn) write(b []byte) {
	c.t.Helper()
	if _, err := c.nc.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

func (c *rawConn) read() {
	c.t.Helper()
	buf := make([]byte, 4096)
	n, err := c.nc.Read(buf)
	if err != nil {
		c.t.Fatalf("the connection ended: %v", err)
	}
	c.unread = append(c.unread, buf[:n]...)
}

// packet reads one packet.
func (c *rawConn) packet() packet.Packet {
	c.t.Helper()
	for {
		if p, rest, ok := packet.Next(c.unread); ok {
			c.unread = rest
			return p
		}
		c.read()
	}
}

// send sends a command without waiting for anything.
func (c *rawConn) send(code packet.Command, arg string) {
	c.t.Helper()
	c.write(packet.AppendPacket(nil, 0, append([]byte{byte(code)}, arg...)))
}

// do sends a command and returns the payloads of its response.
func (c *rawConn) do(code packet.Command, arg string) (response [][]byte, err error) {
	c.t.Helper()
	c.send(code, arg)
	q, _ := packet.Expect(append([]byte{byte(code)}, arg...), 1+len(arg))
	var r packet.Response
	r.SetCapabilities(c.caps)
	r.Begin(q)
	for {
		p := c.packet()
		response = append(response, p.Payload())
		switch _, step := r.Feed(p); step {
		case packet.Done:
			if last := p.Payload(); r.Failed() {
				e, err := packet.ParseERR(last, c.caps)
				if err != nil {
					c.t.Fatal(err)
				}
				return response, errors.New(string(e.Message))
			}
			return response, nil
		case packet.More:
		default:
			c.t.Fatalf("unexpected response to command %d: %q", code, p.Payload())
		}
	}
}

// value is the first value of the first row of a query.
func (c *rawConn) value(query string) string {
	c.t.Helper()
	r, err := c.do(packet.ComQuery, query)
	if err != nil || len(r) < 4 {
		c.t.Fatalf("%s: %d packets, %v", query, len(r), err)
	}
	columns := int(r[0][0])
	v, _, err := packet.TextValue(r[columns+2])
	if err != nil {
		c.t.Fatal(err)
	}
	if v == nil {
		return "NULL"
	}
	return string(v)
}
