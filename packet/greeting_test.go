package packet

import (
	"bytes"
	"errors"
	"testing"
)

const mysqlCaps = 0xdfffffff // MySQL 9.7's

// aGreeting is one as MySQL 8 and later send it.
func aGreeting() Greeting {
	g := Greeting{
		Version: []byte("9.7.4"), ThreadID: 0x01020304, ChallengeSize: ChallengeLen, Capabilities: mysqlCaps,
		Collation: 255, Status: StatusAutocommit, Plugin: []byte("caching_sha2_password"),
	}
	copy(g.Challenge[:], "abcdefghijklmnopqrst")
	return g
}

func TestGreetingLayout(t *testing.T) {
	g := aGreeting()
	want := "\x0a9.7.4\x00\x04\x03\x02\x01abcdefgh\x00\xff\xff\xff\x02\x00\xff\xdf\x15" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00ijklmnopqrst\x00caching_sha2_password\x00"
	if got := g.Append(nil); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// equalGreeting compares two greetings by what they say.
func equalGreeting(a, b Greeting) bool {
	ok := bytes.Equal(a.Version, b.Version) && bytes.Equal(a.Plugin, b.Plugin)
	a.Version, a.Plugin, b.Version, b.Plugin = nil, nil, nil, nil
	return ok && a.ThreadID == b.ThreadID && a.Challenge == b.Challenge && a.ChallengeSize == b.ChallengeSize &&
		a.Capabilities == b.Capabilities && a.Collation == b.Collation && a.Status == b.Status
}

func TestParseGreetingIsLenient(t *testing.T) {
	base := aGreeting()
	whole := base.Append(nil)
	maria := base
	maria.Capabilities = maria.Capabilities&^CapLongPassword | CapMariaDBProgress | CapMariaDBBulkUnitResults
	noPlugin := base
	noPlugin.Capabilities &^= CapPluginAuth
	noPlugin.Plugin = nil
	ancient := noPlugin
	ancient.Capabilities &^= CapSecureConnection
	ancient.ChallengeSize = shortChallengeLen
	ancient.Challenge = [ChallengeLen]byte{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}
	short := ancient
	short.Capabilities &= 0xffff
	short.Collation, short.Status = 0, 0
	odd := base
	odd.Version = []byte("not.a.version 300.1")
	long := bytes.Clone(whole)
	long[len(long)-len("ijklmnopqrst\x00caching_sha2_password\x00")-11] = 30 // 9 bytes more than usual
	long = bytes.Replace(long, []byte("ijklmnopqrst\x00"), []byte("ijklmnopqrstuvwxyz123\x00"), 1)
	for _, c := range []struct {
		name    string
		payload []byte
		want    Greeting
	}{
		{"MySQL", whole, base},
		{"MariaDB's extended capabilities", maria.Append(nil), maria},
		{"plugin without NUL", whole[:len(whole)-1], base},
		{"no PLUGIN_AUTH", noPlugin.Append(nil), noPlugin},
		{"no PLUGIN_AUTH and no NUL behind the challenge", bytes.TrimSuffix(noPlugin.Append(nil), []byte{0}), noPlugin},
		{"no SECURE_CONNECTION", ancient.Append(nil), ancient},
		{"ends behind the low capabilities", ancient.Append(nil)[:1+6+4+8+1+2], short},
		{"a version that is none", odd.Append(nil), odd},
		{"a longer challenge", long, base},
	} {
		got, err := ParseGreeting(c.payload)
		if err != nil || !equalGreeting(got, c.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, c.want)
		}
	}
}

func TestParseGreetingRefuses(t *testing.T) {
	g := aGreeting()
	for name, payload := range map[string][]byte{
		"nothing": nil, "an ERR": AppendERR(nil, 1040, "", "Too many connections"),
		"protocol version 9":                  append([]byte{9}, g.Append(nil)[1:]...),
		"half a challenge, and no old server": g.Append(nil)[:1+6+4+8+1+2],
		"a version without an end":            []byte("\x0a8.0.36"),
	} {
		if _, err := ParseGreeting(payload); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

func TestGreetingAtEveryCut(t *testing.T) {
	g := aGreeting()
	payload := g.Append(nil)
	challenge := bytes.Index(payload, []byte("qrst")) + 4 // from here on it may end anywhere
	everyCut(t, payload, challenge, func(b []byte) error { _, err := ParseGreeting(b); return err })
	everyCut(t, payload, challenge, func(b []byte) error { return EditGreeting(b, CapSSL, 0) })
}

func TestEditGreetingClearsBitsAndNothingElse(t *testing.T) {
	mysql := aGreeting()
	maria := mysql
	maria.Capabilities = maria.Capabilities&^CapLongPassword | capsExtended
	everything := ^Capability(0)
	for _, c := range []struct {
		name string
		g    Greeting
		drop Capability
	}{
		{"nothing", mysql, 0},
		{"TLS and compression", mysql, CapSSL | CapCompress | CapZstd},
		{"the highest", mysql, CapRememberOptions},
		{"extended", maria, CapMariaDBProgress | CapMariaDBCacheMetadata},
		{"both halves and extended", maria, CapSSL | CapQueryAttributes | CapMariaDBBulk},
	} {
		payload := c.g.Append(nil)
		payload = append(payload, "what a later server may add"...)
		before := bytes.Clone(payload)
		if err := EditGreeting(payload, c.drop, 0); err != nil {
			t.Fatal(err)
		}
		got, err := ParseGreeting(payload)
		if err != nil || got.Capabilities != c.g.Capabilities&^c.drop {
			t.Errorf("%s: capabilities %v, %v, want %v", c.name, got.Capabilities, err, c.g.Capabilities&^c.drop)
		}
		// With all capabilities masked on both sides the rest must be the same.
		if EditGreeting(before, everything&^CapLongPassword, 0) != nil || EditGreeting(payload, everything&^CapLongPassword, 0) != nil {
			t.Fatal("masked greeting is malformed")
		}
		if !bytes.Equal(before, payload) {
			t.Errorf("%s: more than the capabilities has changed", c.name)
		}
	}
	// Where bit 0 is set, the reserved bytes are not capabilities.
	payload := mysql.Append(nil)
	at := bytes.Index(payload, []byte("ijkl")) - 4
	payload[at] = 0xff
	if err := EditGreeting(payload, everything&^CapLongPassword, 0); err != nil || payload[at] != 0xff {
		t.Errorf("reserved byte is %#x, %v, want it untouched", payload[at], err)
	}
}

func TestEditGreetingSetsFlagsWhereTheyHaveAPlace(t *testing.T) {
	const add = CapSSL | CapZstd | CapMariaDBProgress
	mysql := aGreeting()
	mysql.Capabilities &^= CapSSL | CapCompress | CapZstd
	maria := mysql
	maria.Capabilities = maria.Capabilities&^CapLongPassword | CapMariaDBBulk
	ancient := mysql
	ancient.Capabilities &^= CapPluginAuth | CapSecureConnection
	for _, c := range []struct {
		name    string
		payload []byte
		has     Capability
		drop    Capability
		want    Capability
	}{
		{"MySQL", mysql.Append(nil), mysql.Capabilities, CapCompress, mysql.Capabilities | CapSSL | CapZstd},
		{"MariaDB", maria.Append(nil), maria.Capabilities, CapMariaDBBulk, maria.Capabilities&^CapMariaDBBulk | add},
		{"dropped and added", mysql.Append(nil), mysql.Capabilities, CapSSL | CapDeprecateEOF, mysql.Capabilities&^CapDeprecateEOF | CapSSL | CapZstd},
		{"no upper half", ancient.Append(nil)[:1+6+4+8+1+2], ancient.Capabilities & 0xffff, 0, ancient.Capabilities&0xffff | CapSSL},
	} {
		before := bytes.Clone(c.payload)
		if err := EditGreeting(c.payload, c.drop, add); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		got, err := ParseGreeting(c.payload)
		if err != nil || got.Capabilities != c.want {
			t.Errorf("%s: capabilities %v, %v\nwant %v", c.name, got.Capabilities, err, c.want)
		}
		if err := EditGreeting(c.payload, got.Capabilities&^c.has, c.has); err != nil || !bytes.Equal(c.payload, before) {
			t.Errorf("%s: edited back %x, %v\nwas %x", c.name, c.payload, err, before)
		}
	}
}

func TestGreetingDoesNotAllocate(t *testing.T) {
	g := aGreeting()
	payload, dst := g.Append(nil), make([]byte, 0, 256)
	noAllocs(t, "ParseGreeting", func() { g, _ = ParseGreeting(payload) })
	noAllocs(t, "Append", func() { dst = g.Append(dst[:0]) })
	noAllocs(t, "EditGreeting", func() { _ = EditGreeting(payload, CapSSL, 0) })
}

func FuzzGreeting(f *testing.F) { // property: what Append writes says the same
	for _, c := range conversations(f) {
		f.Add(c.packets[0].pkt.Payload(), uint64(CapSSL|CapMariaDBBulk))
	}
	g := aGreeting()
	f.Add(g.Append(nil), uint64(CapDeprecateEOF))
	f.Fuzz(func(t *testing.T, in []byte, drop uint64) {
		g, err := ParseGreeting(in)
		if err != nil {
			if EditGreeting(in, Capability(drop), 0) == nil {
				t.Fatalf("%x: does not parse but can be masked", in)
			}
			return
		}
		if again, err := ParseGreeting(g.Append(nil)); err != nil || !equalGreeting(g, again) {
			t.Fatalf("%x is %+v, written again %+v, %v", in, g, again, err)
		}
		masked := bytes.Clone(in)
		if err := EditGreeting(masked, Capability(drop), 0); err != nil || len(masked) != len(in) {
			t.Fatalf("%x: cannot be masked: %v", in, err)
		}
		for i := range masked {
			if masked[i]&^in[i] != 0 {
				t.Fatalf("%x masked by %x is %x: bits were set", in, drop, masked)
			}
		}
	})
}

// FuzzEditGreeting: an edited greeting says what it said, but for the flags.
func FuzzEditGreeting(f *testing.F) {
	for _, c := range conversations(f) {
		f.Add(c.packets[0].pkt.Payload(), uint64(CapSSL|CapMariaDBBulk), uint64(CapCompress))
	}
	g := aGreeting()
	f.Add(g.Append(nil), uint64(CapDeprecateEOF|CapZstd), uint64(CapSSL|CapMariaDBProgress))
	const parts = CapLongPassword | CapSecureConnection | CapPluginAuth
	f.Fuzz(func(t *testing.T, in []byte, drop, add uint64) {
		g, err := ParseGreeting(in)
		edited := bytes.Clone(in)
		err2 := EditGreeting(edited, Capability(drop)&^parts, Capability(add)&^parts)
		if (err != nil) != (err2 != nil) || err != nil && !bytes.Equal(in, edited) {
			t.Fatalf("%x: parsed %v, edited %v, %x", in, err, err2, edited)
		}
		if err != nil {
			return
		}
		want := g
		want.Capabilities = g.Capabilities&^(Capability(drop)&^parts) | Capability(add)&^parts
		if g.Capabilities&CapLongPassword != 0 {
			want.Capabilities &= capsLow
		}
		got, err := ParseGreeting(edited)
		if _, at, _ := parseGreeting(in); at.high == 0 {
			want.Capabilities &= 0xffff
		}
		if err != nil || !equalGreeting(got, want) {
			t.Fatalf("%x less %x plus %x is %x, %v\n got %+v\nwant %+v", in, drop, add, edited, err, got, want)
		}
		if err := EditGreeting(edited, ^parts, g.Capabilities&^parts); err != nil || !bytes.Equal(edited, in) {
			t.Fatalf("%x edited back is %x, %v", in, edited, err)
		}
	})
}
