package e2e

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
)

// How a rawConn speaks TLS and the compressed protocol.

// layers is how a client wants its connection.
type layers struct {
	unix  bool        // the address is a socket's path
	tls   *tls.Config // nil: without
	zip   uint32      // capCompress or capZstd; 0: none
	level byte        // of zstd

	ownPlugin string // the login and the COM_CHANGE_USER name it; else the greeting's
	oldKey    []byte // PEM: passwords are encrypted for this key without asking for one
	together  bool   // the SSL request and the ClientHello come in one segment
}

// safe tells whether the client may send its password as it is.
func (l *layers) safe() bool { return l.unix || l.tls != nil }

// anyServer is TLS with whoever answers.
func anyServer() *tls.Config { return &tls.Config{InsecureSkipVerify: true} }

// layered is a session with layers.
type layered struct {
	*session
	layers
	state *tls.ConnectionState
	zip   *zipConn

	plugin    string // the greeting's
	full      bool   // caching_sha2_password has asked for the password in the last dialogue
	inClear   int    // how often the password has gone as it is over a connection that is not safe
	lastReply string // "OK", or the last ERR with its text, or how the connection ended
}

// dialLayers connects and reads the greeting. The session is nil where that
// fails, and said is then the ERR or how the connection ended.
func dialLayers(t *testing.T, addr string, how layers) (s *layered, said string) {
	network := "tcp"
	if how.unix {
		network = "unix"
	}
	nc, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		return nil, err.Error()
	}
	c := &rawConn{nc: nc, br: bufio.NewReaderSize(nc, 64<<10), tr: &trace{}, timeout: patience}
	s = &layered{session: &session{c, t}, layers: how}
	ended := s.attempt(func() {
		p := c.quietPacket()
		if p[0] == 0xFF {
			s.lastReply = errWithText(p)
			return
		}
		c.caps, c.ext = c.greeting(p)
		if rest := p[bytes.IndexByte(p, 0)+1:]; len(rest) > 44 {
			s.plugin = strings.TrimRight(string(rest[44:]), "\x00")
		}
	})
	if ended || s.lastReply != "" {
		nc.Close()
		return nil, s.lastReply + c.tr.last()
	}
	return s, ""
}

// loginLayers connects and logs in. said is "OK", else the session is closed and
// said is the ERR with its text, or how the connection ended.
func loginLayers(t *testing.T, addr string, how layers, l login) (s *layered, said string) {
	s, said = dialLayers(t, addr, how)
	if s == nil {
		return nil, said
	}
	if said = s.login(l); said != "OK" {
		s.nc.Close()
		return nil, said
	}
	return s, said
}

// login answers the greeting and goes on until OK or ERR.
func (s *layered) login(l login) (said string) {
	c := s.rawConn
	ended := s.attempt(func() {
		offered, offeredExt := c.caps, c.ext
		ask := l.caps | s.layers.zip
		if s.tls != nil {
			ask |= capSSL
		}
		c.caps, c.ext = ask&offered, 0
		if c.caps&capLongPassword == 0 {
			c.ext = l.ext & offeredExt
		}
		b := binary.LittleEndian.AppendUint32(nil, ask)
		b = binary.LittleEndian.AppendUint32(b, 1<<30)
		b = append(append(b, 45), make([]byte, 19)...)
		b = binary.LittleEndian.AppendUint32(b, l.ext)
		if s.tls != nil {
			s.startTLS(b)
		}
		plugin := s.first()
		b = append(append(b, l.user...), 0)
		auth := s.firstAnswer(plugin, l.password, c.challenge)
		b = append(append(b, byte(len(auth))), auth...)
		if l.caps&capConnectWithDB != 0 {
			b = append(append(b, l.db...), 0)
		}
		b = append(append(b, plugin...), 0)
		if l.caps&capConnectAttrs != 0 {
			attrs := attributesOf(l.attrs)
			b = append(append(b, byte(len(attrs))), attrs...)
		}
		if c.caps&capZstd != 0 {
			b = append(b, s.level)
		}
		c.write(c.frame(nil, b))
		said = s.converse(plugin, l.password, c.challenge)
		if said == "OK" && c.caps&(capCompress|capZstd) != 0 {
			s.zip = &zipConn{Conn: c.nc, zstd: c.caps&capCompress == 0}
			c.nc = s.zip
			c.br = bufio.NewReaderSize(c.nc, 64<<10)
		}
	})
	if ended {
		return c.tr.last()
	}
	return said
}

// first is the plugin that the client begins with.
func (s *layered) first() string {
	if s.ownPlugin != "" {
		return s.ownPlugin
	}
	if _, ok := firstAnswer(s.plugin, "", make([]byte, 32)); !ok {
		return pluginNative
	}
	return s.plugin
}

// startTLS sends the SSL request, fixed, and has the connection speak TLS.
func (s *layered) startTLS(fixed []byte) {
	c := s.rawConn
	request := c.frame(nil, fixed)
	nc := c.nc
	if s.together {
		nc = &prefixConn{Conn: nc, prefix: request}
	} else {
		c.write(request)
	}
	secure := tls.Client(nc, s.tls)
	_ = nc.SetDeadline(time.Now().Add(c.timeout))
	if err := secure.Handshake(); err != nil {
		c.end("TLS: %v", err)
	}
	state := secure.ConnectionState()
	s.state = &state
	c.nc, c.br = secure, bufio.NewReaderSize(secure, 64<<10)
}

// prefixConn puts prefix before what is written first, in the same write.
type prefixConn struct {
	net.Conn
	prefix []byte
}

func (c *prefixConn) Write(b []byte) (int, error) {
	prefix := c.prefix
	c.prefix = nil
	n, err := c.Conn.Write(append(prefix, b...))
	return max(0, n-len(prefix)), err
}

// firstAnswer is firstAnswer of a client that knows whether its connection is safe.
func (s *layered) firstAnswer(plugin, password string, challenge []byte) []byte {
	if plugin == pluginSHA256 && password != "" {
		if s.tls != nil { // to this plugin a socket is not safe
			return append([]byte(password), 0)
		}
		if s.oldKey != nil {
			return s.encrypted(password, challenge[:20], s.oldKey)
		}
	}
	if plugin == pluginDialog && !s.safe() {
		s.inClear++
	}
	answer, ok := firstAnswer(plugin, password, challenge)
	if !ok {
		s.end("plugin %q", plugin)
	}
	return answer
}

// converse goes through an authentication dialogue until its OK or ERR. plugin
// is what the client has answered by so far, with challenge.
func (s *layered) converse(plugin, password string, challenge []byte) string {
	c := s.rawConn
	s.full = false
	for {
		p := bytes.Clone(c.quietPacket())
		switch {
		case len(p) == 0:
			c.end("empty packet in the login")
		case p[0] == 0x00:
			return "OK"
		case p[0] == 0xFF:
			return errWithText(p)
		case p[0] == 0xFE:
			n := bytes.IndexByte(p, 0)
			if n < 0 {
				c.end("auth switch without plugin: %x", p)
			}
			plugin, challenge = string(p[1:n]), p[n+1:]
			c.write(c.frame(nil, s.firstAnswer(plugin, password, challenge)))
		case plugin == pluginSHA2 && len(p) == 2 && p[1] == 4:
			s.full = true
			switch {
			case s.safe():
				c.write(c.frame(nil, append([]byte(password), 0)))
			case s.oldKey != nil:
				c.write(c.frame(nil, c.encrypted(password, challenge[:20], s.oldKey)))
			default:
				c.write(c.frame(nil, []byte{2}))
			}
		default:
			if answer, speak := c.moreAnswer(plugin, password, challenge, p); speak {
				c.write(c.frame(nil, answer))
			}
		}
	}
}

// changeUser sends a COM_CHANGE_USER and goes on until OK or ERR.
func (s *layered) changeUser(u user, db string) (said string) {
	c := s.rawConn
	if s.attempt(func() {
		plugin := s.first()
		auth := s.firstAnswer(plugin, u.Password, c.challenge)
		b := append([]byte(u.Name), 0)
		b = append(append(b, byte(len(auth))), auth...)
		b = append(append(b, db...), 0)
		b = append(b, 45, 0)
		b = append(append(b, plugin...), 0)
		if c.caps&capConnectAttrs != 0 {
			b = append(b, 0) // servers refuse it without
		}
		c.write(c.command(comChangeUser, b))
		said = s.converse(plugin, u.Password, c.challenge)
	}) {
		return c.tr.last()
	}
	return said
}

// quit says goodbye and closes.
func (s *layered) quit() {
	s.attempt(func() { s.write(s.command(comQuit, nil)) })
	s.nc.Close()
}

// errWithText is "ERR code text" of an ERR payload.
func errWithText(p []byte) string {
	text := p[3:]
	if len(text) > 5 && text[0] == '#' {
		text = text[6:]
	}
	return errText(p) + " " + string(text)
}

// zipConn is a client's side of the compressed protocol, by other people's
// packages. Each Write of a command, which begins with a packet of sequence id
// 0, begins with a frame of that id.
type zipConn struct {
	net.Conn
	zstd  bool
	store bool // nothing is compressed, only framed
	cut   int  // the longest frame, in plain bytes; 0: 64 KiB

	seq           byte
	plain         bytes.Buffer
	packed        int // frames received that were compressed
	wire, carried int // bytes received as frames and what they held
}

func (z *zipConn) Write(p []byte) (int, error) {
	if len(p) > 3 && p[3] == 0 {
		z.seq = 0
	}
	size := z.cut
	if size == 0 {
		size = 64 << 10
	}
	var out []byte
	for rest := p; len(rest) > 0; {
		n := min(len(rest), size)
		out = z.frame(out, rest[:n])
		rest = rest[n:]
	}
	if _, err := z.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// frame appends p as one frame.
func (z *zipConn) frame(dst, p []byte) []byte {
	body, plain := p, 0
	if len(p) >= 50 && !z.store {
		body, plain = deflated(z.zstd, p), len(p)
	}
	dst = append(dst, byte(len(body)), byte(len(body)>>8), byte(len(body)>>16), z.seq, byte(plain), byte(plain>>8), byte(plain>>16))
	z.seq++
	return append(dst, body...)
}

func deflated(asZstd bool, p []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	w, _ = zlib.NewWriterLevel(&b, zlib.BestSpeed)
	if asZstd {
		w, _ = zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1)) // no option that it could refuse
	}
	_, _ = w.Write(p) // a bytes.Buffer takes it
	_ = w.Close()
	return b.Bytes()
}

func (z *zipConn) Read(p []byte) (int, error) {
	for z.plain.Len() == 0 {
		if err := z.readFrame(); err != nil {
			return 0, err
		}
	}
	return z.plain.Read(p)
}

func (z *zipConn) readFrame() error {
	var h [7]byte
	if _, err := io.ReadFull(z.Conn, h[:]); err != nil {
		return err
	}
	n, plain := int(h[0])|int(h[1])<<8|int(h[2])<<16, int(h[4])|int(h[5])<<8|int(h[6])<<16
	z.seq = h[3] + 1
	body := make([]byte, n)
	if _, err := io.ReadFull(z.Conn, body); err != nil {
		return err
	}
	z.wire += 7 + n
	if plain == 0 {
		z.carried += n
		z.plain.Write(body)
		return nil
	}
	z.packed++
	var r io.Reader
	var err error
	if z.zstd {
		d, derr := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1))
		if derr == nil {
			defer d.Close()
		}
		r, err = d, derr
	} else {
		r, err = zlib.NewReader(bytes.NewReader(body))
	}
	if err != nil {
		return fmt.Errorf("a frame of %d bytes: %w", n, err)
	}
	got, err := io.Copy(&z.plain, r)
	if err == nil && int(got) != plain {
		err = fmt.Errorf("a frame announces %d bytes and holds %d", plain, got)
	}
	z.carried += int(got)
	return err
}
