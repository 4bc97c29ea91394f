package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// Who the client of `mysql-proxy test` logs in as.
const (
	tryUser     = "test"
	tryPassword = "test"
	tryDatabase = "test"
)

// Why a command has no answer.
var (
	errTryTime   = errors.New("the time limit")
	errTryClosed = errors.New("the connection was closed") // by the proxy, or the script
)

// tryClient is the client. One goroutine uses it.
type tryClient struct {
	conn     net.Conn
	limit    time.Duration // for each answer
	caps     packet.Capability
	resp     packet.Response
	in       []byte // what has arrived and is not used
	prepared uint32 // the last statement's id
}

// dialTry connects, without logging in.
func dialTry(a reactor.Addr, limit time.Duration) (*tryClient, error) {
	conn, err := net.DialTimeout("tcp", a.String(), limit)
	if err != nil {
		return nil, err
	}
	return &tryClient{conn: conn, limit: limit}, nil
}

// login takes the greeting and logs in. The answer is the last of the dialogue.
func (c *tryClient) login() (tryAnswer, error) {
	c.begin()
	pkt, err := c.packet()
	if err != nil {
		return tryAnswer{}, err
	}
	if p := pkt.Payload(); len(p) > 0 && p[0] == 0xff {
		return readAnswer(packet.ComQuery, 0, [][]byte{p})
	}
	g, err := packet.ParseGreeting(pkt.Payload())
	if err != nil {
		return tryAnswer{}, fmt.Errorf("the greeting is malformed: %w", err)
	}
	c.caps = packet.Effective(g.Capabilities, tryCaps)
	hash := packet.NativePassword([]byte(tryPassword), g.Challenge[:g.ChallengeSize])
	in := packet.Login{
		Capabilities: tryCaps, MaxPacket: packet.MaxPayload, Collation: 45, User: []byte(tryUser),
		AuthResponse: hash[:], Database: []byte(tryDatabase), Plugin: []byte(packet.PluginNative),
	}
	if err := c.send(pkt.Seq()+1, in.Append(nil, g.Capabilities)); err != nil {
		return tryAnswer{}, err
	}
	return c.dialogue()
}

// dialogue answers what the server asks until it says yes or no.
func (c *tryClient) dialogue() (tryAnswer, error) {
	for {
		pkt, err := c.packet()
		if err != nil {
			return tryAnswer{}, err
		}
		p := pkt.Payload()
		switch {
		case len(p) == 0:
			return tryAnswer{}, errors.New("an empty packet in the login")
		case p[0] == 0x00 || p[0] == 0xff:
			c.resp.SetCapabilities(c.caps)
			return readAnswer(packet.ComQuery, c.caps, [][]byte{p})
		case p[0] == 0xfe:
			a, err := packet.ParseAuthSwitch(p)
			if err != nil {
				return tryAnswer{}, err
			}
			if string(a.Plugin) != packet.PluginNative {
				return tryAnswer{}, fmt.Errorf("the server wants the plugin %s, which this client does not have", clip(string(a.Plugin)))
			}
			hash := packet.NativePassword([]byte(tryPassword), a.Data)
			if err := c.send(pkt.Seq()+1, hash[:]); err != nil {
				return tryAnswer{}, err
			}
		}
	}
}

// payload is the command for a statement.
func (c *tryClient) payload(st *tryStatement) []byte {
	with := func(code packet.Command, arg string) []byte { return append([]byte{byte(code)}, arg...) }
	id := []byte{byte(c.prepared), byte(c.prepared >> 8), byte(c.prepared >> 16), byte(c.prepared >> 24)}
	switch st.verb {
	case "use":
		return with(packet.ComInitDB, st.arg)
	case "ping":
		return with(packet.ComPing, "")
	case "reset":
		return with(packet.ComResetConnection, "")
	case "prepare":
		return with(packet.ComStmtPrepare, st.arg)
	case "close":
		return with(packet.ComStmtClose, string(id))
	case "execute":
		return appendParams(append(with(packet.ComStmtExecute, string(id)), 0, 1, 0, 0, 0), st.params)
	case "user":
		u := packet.ChangeUser{User: []byte(st.arg), Database: []byte(tryDatabase), Collation: 45, Plugin: []byte(packet.PluginNative)}
		return u.Append(nil, c.caps)
	}
	return with(packet.ComQuery, st.text)
}

// appendParams binds parameters: whole numbers as such, all else as strings.
func appendParams(dst []byte, params []*string) []byte {
	if len(params) == 0 {
		return dst
	}
	nulls := make([]byte, (len(params)+7)/8)
	var types, values []byte
	for i, s := range params {
		if s == nil {
			nulls[i/8] |= 1 << (i % 8)
			types = append(types, byte(packet.TypeNull), 0)
		} else if n, err := strconv.ParseInt(*s, 10, 64); err == nil {
			types = append(types, byte(packet.TypeLongLong), 0)
			for shift := 0; shift < 64; shift += 8 {
				values = append(values, byte(n>>shift))
			}
		} else {
			types = append(types, byte(packet.TypeVarString), 0)
			values = packet.AppendLenEncString(values, *s)
		}
	}
	dst = append(append(dst, nulls...), 1)
	return append(append(dst, types...), values...)
}

// run sends a command and reads the response; some have none.
func (c *tryClient) run(payload []byte) (a tryAnswer, err error) {
	c.begin()
	if err := c.send(0, payload); err != nil {
		return a, err
	}
	code := packet.Command(payload[0])
	switch {
	case !code.HasResponse():
		return tryAnswer{summary: "no answer is due"}, nil
	case code == packet.ComChangeUser:
		return c.dialogue()
	}
	q, _ := packet.Expect(payload, len(payload))
	c.resp.Begin(q)
	var whole []byte
	for {
		n, step := c.resp.Feed(c.in)
		whole = append(whole, c.in[:n]...)
		c.in = c.in[n:]
		switch {
		case step == packet.Done:
			if a, err = readAnswer(code, c.caps, payloadsOf(whole)); err != nil {
				return a, fmt.Errorf("the answer is malformed: %w", err)
			}
			if a.prepare.Statement != 0 {
				c.prepared = a.prepare.Statement
			}
			return a, nil
		case step == packet.Malformed:
			return a, errors.New("the answer is malformed")
		case step == packet.ClientTurn: // there is no file
			if err := c.send(c.resp.Seq()+1, nil); err != nil {
				return a, err
			}
			continue
		case len(whole) > tryMaxPayload:
			return a, fmt.Errorf("the answer has more than %d bytes", tryMaxPayload)
		}
		if err := c.fill(); err != nil {
			if n := len(whole) + len(c.in); n > 0 {
				err = fmt.Errorf("%w: only %s came", err, plural(uint64(n), "byte"))
			}
			return a, err
		}
	}
}

// payloadsOf cuts packets apart, those of one long payload put together.
func payloadsOf(packets []byte) (list [][]byte) {
	continued := false
	for {
		pkt, rest, ok := packet.Next(packets)
		if !ok {
			return list
		}
		if continued {
			last := &list[len(list)-1]
			*last = append(*last, pkt.Payload()...)
		} else {
			list = append(list, append([]byte{}, pkt.Payload()...))
		}
		continued = pkt.PayloadLen() == packet.MaxPayload
		packets = rest
	}
}

func (c *tryClient) begin() { _ = c.conn.SetDeadline(time.Now().Add(c.limit)) }

func (c *tryClient) send(seq byte, payload []byte) error {
	_, err := c.conn.Write(packet.AppendPacket(nil, seq, payload))
	return reasonOf(err)
}

// packet reads one packet.
func (c *tryClient) packet() (packet.Packet, error) {
	for {
		if pkt, rest, ok := packet.Next(c.in); ok {
			c.in = rest
			return pkt, nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more.
func (c *tryClient) fill() error {
	var b [16 << 10]byte
	n, err := c.conn.Read(b[:])
	c.in = append(c.in[:len(c.in):len(c.in)], b[:n]...)
	if n > 0 {
		return nil
	}
	return reasonOf(err)
}

func reasonOf(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errTryTime
	}
	return errTryClosed // by an end or a reset
}

// quit logs out.
func (c *tryClient) quit() {
	c.begin()
	_ = c.send(0, []byte{byte(packet.ComQuit)})
	c.conn.Close()
}
