package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"strings"
	"time"
)

// Capability flags that the raw client chooses from.
const (
	capLongPassword   = 1 << 0 // clear on both sides: MariaDB's extended capabilities are in force
	capFoundRows      = 1 << 1
	capLongFlag       = 1 << 2
	capConnectWithDB  = 1 << 3
	capCompress       = 1 << 5
	capLocalFiles     = 1 << 7
	capProtocol41     = 1 << 9
	capSSL            = 1 << 11
	capTransactions   = 1 << 13
	capSecure         = 1 << 15
	capMultiStmts     = 1 << 16
	capMultiResults   = 1 << 17
	capPSMultiResults = 1 << 18
	capPluginAuth     = 1 << 19
	capConnectAttrs   = 1 << 20
	capSessionTrack   = 1 << 23
	capDeprecateEOF   = 1 << 24
	capZstd           = 1 << 26

	extProgress      = 1 << 0
	extBulk          = 1 << 2
	extMetadata      = 1 << 3
	extCacheMetadata = 1 << 4

	capsBase = capLongPassword | capLongFlag | capConnectWithDB | capLocalFiles | capProtocol41 | capTransactions |
		capSecure | capMultiStmts | capMultiResults | capPSMultiResults | capPluginAuth
)

// Status flags that decide where a response ends.
const (
	statusMoreResults  = 0x0008
	statusOutParams    = 0x1000
	statusCursorExists = 0x0040
)

const (
	comQuit         = 0x01
	comInitDB       = 0x02
	comQuery        = 0x03
	comFieldList    = 0x04
	comCreateDB     = 0x05
	comDropDB       = 0x06
	comRefresh      = 0x07
	comStatistics   = 0x09
	comProcessInfo  = 0x0A
	comProcessKill  = 0x0C
	comDebug        = 0x0D
	comPing         = 0x0E
	comChangeUser   = 0x11
	comPrepare      = 0x16
	comExecute      = 0x17
	comLongData     = 0x18
	comStmtClose    = 0x19
	comStmtReset    = 0x1A
	comSetOption    = 0x1B
	comFetch        = 0x1C
	comResetConn    = 0x1F
	comBulkExecute  = 0xFA
	maxFragment     = 0xFFFFFF
	lastStatementID = 0xFFFFFFFF
)

// login is who a rawConn logs in as, and with which capabilities it asks.
type login struct {
	user, password, db string
	caps, ext          uint32
	attrs              map[string]string
	shown              bool // the first answer is by the plugin that the greeting shows; else by mysql_native_password
}

// rawConn is a client that sends exactly the packets it is told to and writes
// down exactly the bytes that come back. It knows where a response ends (its
// own reading of the grammar, not the proxy's packet package), nothing more.
// A failed read or write ends the script that drives it: it panics with
// errEnded, which runScript catches after noting the end in the trace.
type rawConn struct {
	nc      net.Conn
	br      *bufio.Reader
	tr      *trace
	timeout time.Duration
	db      string // that it logged in with

	caps, ext uint32 // in force: what server and client both have
	version   string // of the server, as its greeting has it
	threadID  uint32
	challenge []byte
	seq       uint8    // of the next packet either side sends
	stmts     []uint32 // ids the server gave, in order of PREPARE
	file      []byte   // what a LOCAL INFILE request is answered with
	reports   uint8    // progress reports in this exchange: as many as time allows, so not compared
	reported  int      // progress reports altogether
	buf       []byte
}

// attributesOf is a login's field of connection attributes, without the length
// before it.
func attributesOf(list map[string]string) (attrs []byte) {
	for k, v := range list {
		attrs = append(append(attrs, byte(len(k))), k...)
		attrs = append(append(attrs, byte(len(v))), v...)
	}
	return attrs
}

// errEnded unwinds a script whose connection ended or timed out.
var errEnded = errors.New("connection ended")

func dialRaw(addr string, tr *trace) (*rawConn, error) {
	nc, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	return &rawConn{nc: nc, br: bufio.NewReaderSize(nc, 64<<10), tr: tr, timeout: patience}, nil
}

// login reads the greeting, answers it and goes through the authentication
// until OK or ERR. It tells whether the server admitted the client.
func (c *rawConn) login(l login) bool {
	p := c.quietPacket()
	if p[0] == 0xFF {
		c.tr.packet(c.lastHeader(p), p)
		return false
	}
	serverCaps, serverExt := c.greeting(p)
	plugin := pluginNative
	if rest := p[bytes.IndexByte(p, 0)+1:]; l.shown && len(rest) > 44 {
		plugin = strings.TrimRight(string(rest[44:]), "\x00")
	}
	c.caps = l.caps & serverCaps
	if c.caps&capLongPassword == 0 {
		c.ext = l.ext & serverExt
	}
	b := binary.LittleEndian.AppendUint32(nil, l.caps)
	b = binary.LittleEndian.AppendUint32(b, 1<<30)
	b = append(b, 45)
	b = append(b, make([]byte, 19)...)
	b = binary.LittleEndian.AppendUint32(b, l.ext)
	b = append(append(b, l.user...), 0)
	auth, ok := firstAnswer(plugin, l.password, c.challenge)
	if !ok {
		c.end("plugin %q in the greeting", plugin)
	}
	b = append(append(b, byte(len(auth))), auth...)
	if l.caps&capConnectWithDB != 0 {
		b = append(append(b, l.db...), 0)
	}
	if l.caps&capPluginAuth != 0 {
		b = append(append(b, plugin...), 0)
	}
	if l.caps&capConnectAttrs != 0 {
		attrs := attributesOf(l.attrs)
		b = append(append(b, byte(len(attrs))), attrs...)
	}
	c.write(c.frame(nil, b))
	return c.authDialogue(plugin, l.password)
}

// greeting takes thread id, challenge and capabilities out of the greeting and
// notes it in the trace with what is random, or the proxy's own choice, blanked.
func (c *rawConn) greeting(p []byte) (caps, ext uint32) {
	n := bytes.IndexByte(p, 0)
	if p[0] != 10 || n < 0 || len(p) < n+45 {
		c.end("not a greeting: %x", p)
	}
	c.version = string(p[1:n])
	g := p[n+1:]
	c.threadID = binary.LittleEndian.Uint32(g)
	c.challenge = append(append([]byte(nil), g[4:12]...), g[31:43]...)
	caps = uint32(binary.LittleEndian.Uint16(g[13:])) | uint32(binary.LittleEndian.Uint16(g[18:]))<<16
	ext = binary.LittleEndian.Uint32(g[27:])
	shown := bytes.Clone(p)
	s := shown[n+1:]
	copy(s[0:12], make([]byte, 12))  // thread id, challenge part 1
	copy(s[31:43], make([]byte, 12)) // challenge part 2
	// The proxy may keep compression and TLS to itself: those bits are not compared.
	low := binary.LittleEndian.Uint16(s[13:]) &^ (capCompress | capSSL)
	binary.LittleEndian.PutUint16(s[13:], low)
	high := binary.LittleEndian.Uint16(s[18:]) &^ uint16(capZstd>>16)
	binary.LittleEndian.PutUint16(s[18:], high)
	c.tr.packet(c.lastHeader(p), shown)
	return caps, ext
}

// authDialogue answers the server until its OK or ERR. Challenges are blanked
// in the trace: the server makes them up. plugin is the one that the first
// answer was given to, with the greeting's challenge.
func (c *rawConn) authDialogue(plugin, password string) bool {
	challenge := c.challenge
	for {
		p := c.quietPacket()
		h := c.lastHeader(p)
		switch {
		case len(p) == 0:
			c.end("empty packet in the login")
		case p[0] == 0x00 || p[0] == 0xFF:
			c.tr.packet(h, withoutProof(p))
			return p[0] == 0x00
		case p[0] == 0xFE:
			n := bytes.IndexByte(p, 0)
			if n < 0 {
				c.end("auth switch without plugin: %x", p)
			}
			plugin, challenge = string(p[1:n]), bytes.Clone(p[n+1:])
			c.tr.packet(h, append(bytes.Clone(p[:n+1]), make([]byte, len(challenge))...))
			answer, ok := firstAnswer(plugin, password, challenge)
			if !ok {
				c.end("auth switch to %q", plugin)
			}
			c.write(c.frame(nil, answer))
		default:
			c.tr.packet(h, p)
			if answer, speak := c.moreAnswer(plugin, password, challenge, bytes.Clone(p)); speak {
				c.write(c.frame(nil, answer))
			}
		}
	}
}

// withoutProof is an OK in which the server's proof that it knows the password
// is blanked (MariaDB since 11.4): it depends on the challenge.
func withoutProof(p []byte) []byte {
	const mark, digits = "\x41\x01", 64 // a length of 65, a 1 and hex digits
	if i := bytes.Index(p, []byte(mark)); p[0] == 0x00 && i >= 0 && len(p) >= i+len(mark)+digits {
		p = bytes.Clone(p)
		copy(p[i+len(mark):], make([]byte, digits))
	}
	return p
}

// nativeResponse is mysql_native_password's answer to a challenge of 20 bytes.
func nativeResponse(password string, challenge []byte) []byte {
	if password == "" {
		return nil
	}
	h1 := sha1.Sum([]byte(password))
	h2 := sha1.Sum(h1[:])
	h3 := sha1.Sum(append(bytes.Clone(challenge), h2[:]...))
	for i := range h3 {
		h3[i] ^= h1[i]
	}
	return h3[:]
}

// frame appends payload as packets to dst, fragments and closing empty one
// included, and counts c.seq on.
func (c *rawConn) frame(dst, payload []byte) []byte {
	for {
		n := min(len(payload), maxFragment)
		dst = append(dst, byte(n), byte(n>>8), byte(n>>16), c.seq)
		dst = append(dst, payload[:n]...)
		c.seq++
		payload = payload[n:]
		if n < maxFragment {
			return dst
		}
	}
}

// command is one command's packets, from sequence id 0.
func (c *rawConn) command(com byte, arg []byte) []byte {
	c.seq, c.reports = 0, 0
	return c.frame(nil, append([]byte{com}, arg...))
}

// send writes a command in one piece.
func (c *rawConn) send(com byte, arg ...byte) {
	switch com {
	case comExecute, comLongData, comStmtClose, comStmtReset, comFetch, comBulkExecute:
		c.tr.note("> %02x %s", com, short(arg[min(4, len(arg)):])) // without the statement id
	default:
		c.tr.note("> %02x %s", com, short(arg))
	}
	c.write(c.command(com, arg))
}

// query sends a statement and reads its whole response.
func (c *rawConn) query(sql string) {
	c.send(comQuery, []byte(sql)...)
	c.result(false)
}

// one sends a command that is answered with one packet, and reads that.
func (c *rawConn) one(com byte, arg ...byte) []byte {
	c.send(com, arg...)
	return c.packet()
}

func (c *rawConn) write(b []byte) {
	c.nc.SetWriteDeadline(time.Now().Add(c.timeout))
	if _, err := c.nc.Write(b); err != nil {
		c.end("closed")
	}
}

// writeCut writes b in pieces of random length with small pauses between them.
func (c *rawConn) writeCut(b []byte, rng *rand.Rand, longest int) {
	for len(b) > 0 {
		n := min(len(b), 1+rng.Intn(longest))
		c.write(b[:n])
		b = b[n:]
		if rng.Intn(4) == 0 {
			time.Sleep(time.Duration(rng.Intn(500)) * time.Microsecond)
		}
	}
}

// packet reads one payload with all its fragments and notes each of them. The
// payload returned is the first fragment's and borrowed until the next packet.
func (c *rawConn) packet() []byte {
	p := c.quietPacket()
	if c.isProgress(p) {
		c.reports++
		c.reported++
		return p
	}
	if len(p) > 0 && p[0] == 0xFF {
		shown := c.withoutIDs(p)
		c.tr.packet(c.lastHeader(shown), shown)
	} else {
		c.tr.packet(c.lastHeader(p), p)
	}
	if len(p) == maxFragment {
		first := bytes.Clone(p[:16]) // what decides on the state is in the first bytes
		for len(p) == maxFragment {
			p = c.quietPacket()
			c.tr.packet(c.lastHeader(p), p)
		}
		// A fragment of full length that is a row: keep its length visible to result.
		return first
	}
	return p
}

// withoutIDs is an ERR with the statement ids in its text, which the server
// chooses, replaced by the number of their PREPARE.
func (c *rawConn) withoutIDs(p []byte) []byte {
	const unknownStatement, noOpenCursor = 1243, 1421
	if len(p) < 3 {
		return p
	}
	if code := binary.LittleEndian.Uint16(p[1:]); code != unknownStatement && code != noOpenCursor {
		return p // a number in its text is another one
	}
	for i, id := range c.stmts {
		p = bytes.ReplaceAll(p, fmt.Appendf(nil, "(%d)", id), fmt.Appendf(nil, "(statement %d)", i))
	}
	return p
}

// quietPacket reads one fragment without noting it.
func (c *rawConn) quietPacket() []byte {
	c.nc.SetReadDeadline(time.Now().Add(c.timeout))
	var h [4]byte
	if _, err := io.ReadFull(c.br, h[:]); err != nil {
		c.ended(err)
	}
	n := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	if cap(c.buf) < n {
		c.buf = make([]byte, n)
	}
	p := c.buf[:n]
	if _, err := io.ReadFull(c.br, p); err != nil {
		c.ended(err)
	}
	c.seq = h[3] + 1
	return p
}

// lastHeader is the header that the fragment just read came with, its sequence
// id less the progress reports before it.
func (c *rawConn) lastHeader(p []byte) [4]byte {
	return [4]byte{byte(len(p)), byte(len(p) >> 8), byte(len(p) >> 16), c.seq - 1 - c.reports}
}

// ended notes how the connection ended. FIN and RST are the same to a client.
func (c *rawConn) ended(err error) {
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		c.end("no answer in time")
	}
	c.end("closed")
}

func (c *rawConn) end(format string, args ...any) {
	c.tr.note(format, args...)
	panic(errEnded)
}

// expectClose reads until the server closes, and notes whatever still comes.
func (c *rawConn) expectClose() {
	for {
		c.packet()
	}
}

func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// runScript connects to addr, runs script and returns what came back. l may be
// nil: the script then starts before the greeting.
func runScript(addr string, l *login, timeout time.Duration, script func(*rawConn)) (tr *trace) {
	tr = &trace{}
	c, err := dialRaw(addr, tr)
	if err != nil {
		tr.note("connect: %v", err)
		return tr
	}
	c.timeout = timeout
	defer c.nc.Close()
	defer func() {
		if e := recover(); e != nil && e != any(errEnded) {
			tr.note("reading the response: %v", e) // bytes that no server sends: part of the verdict
		}
	}()
	if l != nil {
		if c.db = l.db; !c.login(*l) {
			c.end("login refused")
		}
	}
	script(c)
	return tr
}

func short(b []byte) string {
	if len(b) > 60 {
		return fmt.Sprintf("%q… (%d bytes)", b[:60], len(b))
	}
	return fmt.Sprintf("%q", b)
}
