package e2e

import (
	"bytes"
	"fmt"
	"math/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// zips are the compressions of one side.
var zips = []struct {
	name string
	caps uint32
}{{"off", 0}, {"zlib", capCompress}, {"zstd", capZstd}}

// zipped tells whether the bed's servers have a compression.
func zipped(name string) bool { return name != "zstd" || bed.mysql() }

// What a session sees is the same, whatever is compressed on the way: every pair
// of compressions, with TLS on either side or none, against the corpus on a
// direct connection that has neither. Sequence ids are compared as well.
func TestSameBytesWithCompression(t *testing.T) {
	onEveryKind(t, func(t *testing.T) {
		openSession(t, bed.Primary.Addr).nc.Close() // from here on the account is in the server's cache
		for _, server := range zips {
			if !zipped(server.name) {
				continue
			}
			for _, secure := range []string{"off", "require"} {
				p := startProxy(t, []string{bed.Primary.Addr}, "--backend-compression="+server.name, "--backend-tls="+secure)
				for _, client := range zips {
					if client.caps|server.caps == 0 {
						continue // that is the corpus itself
					}
					how := layers{zip: client.caps, level: 3}
					if secure != "off" {
						how.tls = anyServer()
					}
					t.Run(fmt.Sprintf("%s to the server, %s to the client, TLS %s", server.name, client.name, secure), func(t *testing.T) {
						t.Parallel()
						for _, cc := range compressionCases {
							if cc.large && !long && (client.caps&server.caps != 0 || client.name == "zstd" || secure == "off" || server.name != "zstd" && bed.Flavour != flavours[0].name) {
								continue
							}
							compareLayers(t, p.addr, how, cc.name, cc.run)
						}
					})
				}
			}
		}
	})
}

// compressionCases are of the corpus what compression could go wrong with.
var compressionCases = []struct {
	name  string
	large bool // it takes seconds
	run   func(*rawConn)
}{
	{name: "short and long", run: func(c *rawConn) {
		c.query("SELECT 1")
		c.query("SELECT NULL, '', REPEAT('x', 100)")
		c.query("SELECT seq, REPEAT('row ', 20) FROM seq_1_to_3000")
		c.one(comPing)
		c.query("SELECT " + strings.Repeat("1, ", 2000) + "1")
		c.query("NONSENSE")
		c.query("DO 1")
		c.one(comInitDB, []byte(c.db)...)
	}},
	{name: "what does not shrink", run: func(c *rawConn) {
		noise := make([]byte, 300000)
		rand.New(rand.NewSource(1)).Read(noise)
		c.query("SELECT x'" + fmt.Sprintf("%x", noise) + "'")
	}},
	{name: "several results", run: func(c *rawConn) {
		c.query("CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 'two', REPEAT('2', 40000); DO 1; END")
		c.query("CALL p()")
		c.query("SELECT 1; SELECT * FROM seq_1_to_300; DO 1; SELECT nothing")
		c.query("SELECT 'after'")
	}},
	{name: "prepared statements", run: func(c *rawConn) {
		c.query("CREATE TABLE t (id INT PRIMARY KEY, b LONGBLOB)")
		c.prepare("INSERT INTO t VALUES (?, ?)")
		c.execute(0, 0, intParam(1), stringParam(strings.Repeat("a", 200)))
		c.send(comLongData, cat(u32(c.stmts[0]), []byte{1, 0}, bytes.Repeat([]byte("long "), 60000))...)
		c.execute(0, 0, intParam(2), stringParam("long data comes elsewhere"))
		c.prepare("SELECT id, LENGTH(b), b FROM t WHERE id >= ? ORDER BY id")
		c.execute(1, 0, intParam(0))
		c.send(comStmtClose, u32(c.stmts[0])...)
		c.one(comPing)
	}},
	{name: "LOAD DATA LOCAL", run: func(c *rawConn) {
		c.query("CREATE TABLE t (a INT, b VARCHAR(200))")
		for i := range 20000 {
			c.file = fmt.Appendf(c.file, "%d\tline %d of a file\n", i, i)
		}
		c.query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t")
		c.query("SELECT COUNT(*), SUM(a), MAX(b) FROM t")
		c.file = nil
		c.query("LOAD DATA LOCAL INFILE 'x' INTO TABLE t")
		c.query("LOAD DATA LOCAL INFILE 'x' INTO TABLE missing")
		c.query("SELECT 'after'")
	}},
	{name: "packets of more than 16 MB", large: true, run: func(c *rawConn) {
		c.query("SELECT LENGTH('" + strings.Repeat("0123456789abcdef", 18<<16) + "')") // 18 MiB up
		c.query("SELECT REPEAT('0123456789abcdef', 1179648), 'and more'")              // 18 MiB down
		c.query("SELECT REPEAT('x', 16777207)")                                        // a full fragment and an empty one
		c.query("SELECT 'after'")
	}},
	{name: "COM_CHANGE_USER", run: func(c *rawConn) {
		s := &layered{session: &session{rawConn: c}, layers: layers{ownPlugin: bed.Users.App.Plugin}}
		c.query("SET @a = 1")
		c.tr.note("%s", s.changeUser(bed.Users.App, c.db))
		c.query("SELECT @a, CURRENT_USER(), DATABASE()")
		c.query("SELECT REPEAT('x', 100000)")
	}},
	{name: "COM_RESET_CONNECTION", run: func(c *rawConn) {
		c.query("SET @a = REPEAT('x', 100000)")
		c.one(comResetConn)
		c.query("SELECT @a")
	}},
}

// compareLayers is compare for a client with layers.
func compareLayers(t *testing.T, addr string, how layers, name string, script func(*rawConn)) {
	t.Helper()
	l := asApp()
	l.db = corpusDB(t)
	l.caps |= capDeprecateEOF
	run := func(addr string, how layers) *trace {
		freshDB(t, l.db)
		s, said := loginLayers(t, addr, how, l)
		if s == nil {
			return &trace{lines: []string{"login refused: " + said}}
		}
		defer s.nc.Close()
		s.db = l.db
		s.timeout = patience
		s.tr.lines = nil
		s.attempt(func() { script(s.rawConn) })
		if how.zip != 0 && s.zip == nil {
			s.tr.note("not compressed")
		}
		return s.tr
	}
	direct := run(bed.Primary.Addr, layers{tls: how.tls})
	for _, line := range direct.lines {
		if badEnd(line) {
			t.Fatalf("%s: the direct run is not as the case means it: %s", name, line)
		}
	}
	if d := diff(direct, run(addr, how)); d != "" {
		t.Errorf("%s:\n%s", name, d)
	}
}

// Whether a session is compressed is up to the client and the options; how hard
// is the options' say.
func TestCompressionIsAgreedUpon(t *testing.T) {
	// Text of which a higher level makes much less, in whatever pieces it comes.
	const query = "SELECT seq, CONCAT('order ', seq * 7919 MOD 100000, ' of customer ', seq * 31 MOD 977, ' was sent to ', ELT(1 + seq * 13 MOD 5, 'Lisbon', 'Athens', 'Oslo', 'Vienna', 'Dublin'), " +
		"' on day ', seq * 17 MOD 365, ' by ', ELT(1 + seq * 3 MOD 4, 'train', 'lorry', 'ship', 'hand'), ' and weighs ', seq * 271 MOD 5003, ' grams') FROM seq_1_to_3000"
	size := func(how layers, args ...string) (wire int, caps uint32) {
		t.Helper()
		p := startProxy(t, []string{bed.Primary.Addr}, args...)
		s := openLayers(t, p.addr, how)
		s.mustAsk("SELECT 1", "1")
		s.attempt(func() { s.query(query) })
		defer s.quit()
		if s.zip == nil {
			return 0, s.caps
		}
		if s.zip.packed == 0 {
			t.Error("not one frame was compressed")
		}
		return s.zip.wire, s.caps
	}
	for _, r := range []struct {
		option string
		asks   uint32
		gets   uint32
	}{
		{"off", capCompress, 0}, {"off", capZstd, 0}, {"zlib", capZstd, 0}, {"zstd", capCompress, 0},
		{"zlib", capCompress, capCompress}, {"zstd", capZstd, capZstd},
		{"zlib,zstd", capCompress | capZstd, capCompress | capZstd}, {"zlib,zstd", 0, 0},
	} {
		if _, caps := size(layers{zip: r.asks, level: 3}, "--proxy-compression="+r.option); caps&(capCompress|capZstd) != r.gets {
			t.Errorf("--proxy-compression=%s, asked for %x: got %x, want %x", r.option, r.asks, caps&(capCompress|capZstd), r.gets)
		}
	}
	low, _ := size(layers{zip: capCompress}, "--zlib-level=1")
	high, _ := size(layers{zip: capCompress}, "--zlib-level=9")
	if high >= low {
		t.Errorf("zlib: %d bytes at level 9, %d at level 1", high, low)
	}
	// For zstd the client says which, within bounds.
	low, _ = size(layers{zip: capZstd, level: 1}, "--zstd-level=22")
	high, _ = size(layers{zip: capZstd, level: 19}, "--zstd-level=22")
	if high >= low {
		t.Errorf("zstd: %d bytes at level 19, %d at level 1", high, low)
	}
}

// The server's status tells what is in force between it and the proxy.
func TestCompressionWithServers(t *testing.T) {
	onEveryFlavour(t, func(t *testing.T) {
		for _, way := range []string{"zlib", "zstd"} {
			for _, secure := range []string{"off", "require"} {
				p := startProxy(t, []string{bed.Primary.Addr}, "--backend-compression="+way, "--backend-tls="+secure)
				for client, how := range map[string]layers{"plain": {}, "TLS": {tls: anyServer()}, "zlib": {zip: capCompress}, "zstd": {zip: capZstd, level: 3}} {
					s := openLayers(t, p.addr, how)
					query, want := "SELECT VARIABLE_VALUE FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME = 'COMPRESSION'", "ON"
					if bed.mysql() {
						query = "SHOW SESSION STATUS LIKE 'Compression_algorithm'"
					} else if !zipped(way) {
						want = "OFF"
					}
					got := s.ask(query)
					if bed.mysql() {
						got, want = s.lastValue(query), way
					}
					if got != want {
						t.Errorf("%s to the server, TLS %s, %s client: %q, want %q", way, secure, client, got, want)
					}
					s.quit()
				}
			}
		}
	})
}

// lastValue is the last column of a result's only row.
func (s *layered) lastValue(sql string) (value string) {
	s.attempt(func() {
		s.send(comQuery, []byte(sql)...)
		n, _ := lenenc(s.packet())
		for range n + 1 { // with the EOF
			s.packet()
		}
		row := s.packet()
		for range n {
			size, k := lenenc(row)
			value = string(row[k : k+int(size)])
			row = row[k+int(size):]
		}
		s.packet()
	})
	return value
}

// A client whose frames inflate to more than they announce, or to more than
// anybody should hold, is closed, and costs neither memory nor the others.
func TestCompressionBombs(t *testing.T) {
	path, err := plainProxy()
	if err != nil {
		t.Fatal(err)
	}
	p := startBinary(t, path, []string{bed.Primary.Addr}, "--event-threads=1")
	stop := undisturbed(t, p.addr)
	defer stop()
	frame := func(body []byte, plain int) []byte {
		return append([]byte{byte(len(body)), byte(len(body) >> 8), byte(len(body) >> 16), 0, byte(plain), byte(plain >> 8), byte(plain >> 16)}, body...)
	}
	zeros := make([]byte, 64<<20)
	for _, z := range zips[1:] {
		bomb := deflated(z.caps == capZstd, zeros)
		packet := deflated(z.caps == capZstd, append([]byte{0xFF, 0xFF, 0xFF, 0}, zeros[:maxFragment-4]...)) // of which no end comes
		for what, b := range map[string][]byte{
			"more than it announces":   frame(bomb, 1000),
			"less than it announces":   frame(deflated(z.caps == capZstd, zeros[:1000]), 5000),
			"not compressed at all":    frame(bytes.Repeat([]byte("nonsense"), 50), 4000),
			"cut in the middle":        frame(packet[:len(packet)/2], maxFragment),
			"64 MiB that are called 1": frame(bomb, 1),
		} {
			s := openLayers(t, p.addr, layers{zip: z.caps, level: 3})
			s.mustAsk("SELECT 1", "1")
			under := s.zip.Conn
			rss := p.status(t, "VmRSS")
			_, _ = under.Write(b) // the proxy may have hung up already
			readAll(t, z.name+", "+what, under, 20*time.Second)
			if now := p.status(t, "VmRSS"); now > rss+16<<10 {
				t.Errorf("%s, %s: resident memory grew by %d KiB", z.name, what, now-rss)
			}
		}
	}
}

// A script sees commands and results as they are without compression.
func TestScriptsSeeNothingOfCompression(t *testing.T) {
	script := filepath.Join(t.TempDir(), "sees.lua")
	writeScript(t, script, `
function read_query(packet)
	proxy.queries:append(1, packet, { resultset_is_needed = true })
	sent = ("%d %s"):format(#packet, packet:sub(2, 7))
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local rows, bytes = 0, 0
	for row in inj.resultset.rows do rows, bytes = rows + 1, bytes + #row[1] end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = {
		fields = { { name = "saw", type = proxy.MYSQL_TYPE_STRING } },
		rows = { { ("%s, %d rows, %d bytes"):format(sent, rows, bytes) } } } }
	return proxy.PROXY_SEND_RESULT
end
`)
	for _, z := range zips {
		p := startProxy(t, []string{bed.Primary.Addr}, "--proxy-lua-script="+script, "--backend-compression=zlib", "--backend-tls=require")
		s := openLayers(t, p.addr, layers{zip: z.caps, level: 3, tls: anyServer()})
		s.mustAsk("SELECT 1", "9 SELECT, 1 rows, 1 bytes")
		s.mustAsk("SELECT LENGTH('"+strings.Repeat("x", 100000)+"')", "100018 SELECT, 1 rows, 6 bytes")
		s.mustAsk("SELECT REPEAT('y', 10000) FROM seq_1_to_300", "44 SELECT, 300 rows, 3000000 bytes")
	}
}
