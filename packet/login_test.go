package packet

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

const loginCaps = CapLongPassword | CapProtocol41 | CapSecureConnection | CapPluginAuth | CapPluginAuthLenenc |
	CapConnectWithDB | CapConnectAttrs | CapZstd

func aLogin() Login {
	return Login{
		Capabilities: loginCaps, MaxPacket: 1 << 24, Collation: 45, User: []byte("app"),
		AuthResponse: []byte("01234567890123456789"), Database: []byte("shop"), Plugin: []byte(PluginNative),
		Attributes: AppendAttribute(nil, "_pid", "17"), ZstdLevel: 7,
	}
}

func equalLogin(a, b Login) bool {
	return a.Capabilities == b.Capabilities && a.MaxPacket == b.MaxPacket && a.Collation == b.Collation &&
		bytes.Equal(a.User, b.User) && bytes.Equal(a.AuthResponse, b.AuthResponse) &&
		bytes.Equal(a.Database, b.Database) && bytes.Equal(a.Plugin, b.Plugin) &&
		bytes.Equal(a.Attributes, b.Attributes) && a.ZstdLevel == b.ZstdLevel && a.SSLRequest == b.SSLRequest
}

func TestLoginLayout(t *testing.T) {
	l := aLogin()
	want := "\x09\x82\x38\x04\x00\x00\x00\x01\x2d" + strings.Repeat("\x00", 23) +
		"app\x00\x1401234567890123456789shop\x00mysql_native_password\x00\x08\x04_pid\x0217\x07"
	if got := l.Append(nil, mysqlCaps); string(got) != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// Which fields a login has is up to what both sides have.
func TestLoginFieldsFollowTheEffectiveCapabilities(t *testing.T) {
	for _, c := range []struct {
		name   string
		server Capability
		client Capability
		change func(*Login) // from aLogin
	}{
		{"all", mysqlCaps, loginCaps, func(*Login) {}},
		{"no database", mysqlCaps, loginCaps &^ CapConnectWithDB, func(l *Login) { l.Database = nil }},
		{"server without plugins", mysqlCaps &^ CapPluginAuth, loginCaps, func(l *Login) { l.Plugin = nil }},
		{"client without plugins, as mysqljs", mysqlCaps, loginCaps &^ CapPluginAuth, func(l *Login) { l.Plugin = nil }},
		{"a length byte", mysqlCaps, loginCaps &^ CapPluginAuthLenenc, func(*Login) {}},
		{"a length byte since the server wants it", mysqlCaps &^ CapPluginAuthLenenc, loginCaps, func(*Login) {}},
		{"response to a NUL", mysqlCaps, loginCaps &^ (CapPluginAuthLenenc | CapSecureConnection), func(*Login) {}},
		{"server without attributes", mysqlCaps &^ CapConnectAttrs, loginCaps, func(l *Login) { l.Attributes = nil }},
		{"server without zstd", mysqlCaps &^ CapZstd, loginCaps, func(l *Login) { l.ZstdLevel = 0 }},
		{"MariaDB's extended capabilities", CapMariaDBBulk | 0x81fffffe, loginCaps&^CapLongPassword | CapMariaDBBulk, func(l *Login) { l.ZstdLevel = 0 }},
		{"the same towards MySQL", mysqlCaps, loginCaps&^CapLongPassword | CapMariaDBBulk, func(*Login) {}},
		{"empty password", mysqlCaps, loginCaps, func(l *Login) { l.AuthResponse = nil }},
		{"a response of 300 bytes", mysqlCaps, loginCaps, func(l *Login) { l.AuthResponse = bytes.Repeat([]byte{1}, 300) }},
	} {
		want := aLogin()
		want.Capabilities = c.client
		c.change(&want)
		full := aLogin()
		full.Capabilities, full.AuthResponse = c.client, want.AuthResponse
		got, err := ParseLogin(full.Append(nil, c.server), c.server)
		if err != nil || !equalLogin(got, want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, want)
		}
	}
}

func TestParseLoginTakesWhatClientsLeaveOut(t *testing.T) {
	l := aLogin()
	whole := string(l.Append(nil, mysqlCaps))
	upTo := func(s string) []byte { return []byte(whole[:strings.Index(whole, s)+len(s)]) }
	for _, c := range []struct {
		name    string
		payload []byte
		change  func(*Login)
	}{
		{"ends behind the response", upTo("56789012345678" + "9"), func(l *Login) { l.Database, l.Plugin, l.Attributes, l.ZstdLevel = nil, nil, nil, 0 }},
		{"ends in the database", upTo("shop"), func(l *Login) { l.Plugin, l.Attributes, l.ZstdLevel = nil, nil, 0 }},
		{"plugin without NUL", upTo(PluginNative), func(l *Login) { l.Attributes, l.ZstdLevel = nil, 0 }},
		{"no attributes", upTo(PluginNative + "\x00"), func(l *Login) { l.Attributes, l.ZstdLevel = nil, 0 }},
		{"no level", []byte(whole[:len(whole)-1]), func(l *Login) { l.ZstdLevel = 0 }},
		{"more than we know", []byte(whole + "more"), func(*Login) {}},
	} {
		want := aLogin()
		c.change(&want)
		if got, err := ParseLogin(c.payload, mysqlCaps); err != nil || !equalLogin(got, want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, want)
		}
	}
}

func TestSSLRequestIsTheFixedPartAlone(t *testing.T) {
	l := aLogin()
	l.Capabilities |= CapSSL
	payload := l.Append(nil, mysqlCaps)
	got, err := ParseLogin(payload[:SSLRequestLen], mysqlCaps)
	want := Login{Capabilities: l.Capabilities, MaxPacket: l.MaxPacket, Collation: l.Collation, SSLRequest: true}
	if err != nil || !equalLogin(got, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
	if again := want.Append(nil, mysqlCaps); !bytes.Equal(again, payload[:SSLRequestLen]) {
		t.Errorf("Append: %x, want %x", again, payload[:SSLRequestLen])
	}
	if got, err := ParseLogin(payload, mysqlCaps); err != nil || got.SSLRequest {
		t.Errorf("a whole login with CapSSL: %+v, %v, want no SSL request", got, err)
	}
	l.Capabilities &^= CapSSL
	if _, err := ParseLogin(l.Append(nil, mysqlCaps)[:SSLRequestLen], mysqlCaps); !errors.Is(err, ErrMalformed) {
		t.Errorf("32 bytes without CapSSL: error %v, want ErrMalformed", err)
	}
}

func TestLoginOfOldProtocolHasItsOwnError(t *testing.T) {
	old := []byte("\x85\x24\x00\x00\x00root\x00\x00") // HandshakeResponse320
	if _, err := ParseLogin(old, mysqlCaps); !errors.Is(err, ErrOldProtocol) {
		t.Errorf("ParseLogin: %v, want ErrOldProtocol", err)
	}
	if err := MaskLogin(old, CapSSL); !errors.Is(err, ErrOldProtocol) {
		t.Errorf("MaskLogin: %v, want ErrOldProtocol", err)
	}
}

func TestParseLoginRefusesLengthsThatLie(t *testing.T) {
	l := aLogin()
	fixed := string(l.Append(nil, mysqlCaps)[:SSLRequestLen])
	for name, tail := range map[string]string{
		"user without an end":         "app",
		"no response":                 "app\x00",
		"response longer than packet": "app\x00\x15x",
		"response that is NULL":       "app\x00\xfb",
		"attributes too long":         "app\x00\x00\x00\x00\x09_pid",
		"attributes of 2^63 bytes":    "app\x00\x00\x00\x00\xfe\x00\x00\x00\x00\x00\x00\x00\x80",
	} {
		if got, err := ParseLogin([]byte(fixed+tail), mysqlCaps); !errors.Is(err, ErrMalformed) || !equalLogin(got, Login{}) {
			t.Errorf("%s: %+v, %v, want ErrMalformed", name, got, err)
		}
	}
}

func TestLoginAtEveryCut(t *testing.T) {
	l := aLogin()
	payload := l.Append(nil, mysqlCaps)
	whole := bytes.Index(payload, []byte("shop"))
	everyCut(t, payload, whole, func(b []byte) error { _, err := ParseLogin(b, mysqlCaps); return err })
	everyCut(t, payload, SSLRequestLen, func(b []byte) error { return MaskLogin(b, CapSSL) })
}

func TestMaskLoginClearsBitsAndNothingElse(t *testing.T) {
	l := aLogin()
	l.Capabilities |= CapQueryAttributes | CapRememberOptions
	payload := l.Append(nil, mysqlCaps)
	payload[30] = 0xff // reserved, for bit 0 is set
	want := bytes.Clone(payload)
	want[3] &^= 0x88
	if err := MaskLogin(payload, CapQueryAttributes|CapRememberOptions|capsExtended); err != nil || !bytes.Equal(payload, want) {
		t.Errorf("MySQL: %v\n got %x\nwant %x", err, payload, want)
	}
	l.Capabilities = l.Capabilities&^CapLongPassword | CapMariaDBProgress | CapMariaDBCacheMetadata
	payload = l.Append(nil, mysqlCaps)
	want = bytes.Clone(payload)
	want[28] = 1
	if err := MaskLogin(payload, CapMariaDBCacheMetadata); err != nil || !bytes.Equal(payload, want) {
		t.Errorf("MariaDB: %v\n got %x\nwant %x", err, payload, want)
	}
}

func TestAttributesGoOneByOne(t *testing.T) {
	attrs := AppendAttribute(AppendAttribute(nil, "_client_name", "x"), "empty", "")
	var got []string
	rest := attrs
	for len(rest) > 0 {
		k, v, r, ok := NextAttribute(rest)
		if !ok {
			t.Fatalf("malformed at %x", rest)
		}
		got, rest = append(got, string(k)+"="+string(v)), r
	}
	if s := strings.Join(got, " "); s != "_client_name=x empty=" {
		t.Errorf("got %q", s)
	}
	if _, _, rest, ok := NextAttribute([]byte("\x01k\x05v")); ok || len(rest) == 0 {
		t.Error("a key without its value passed, or looks like the end")
	}
	if _, _, _, ok := NextAttribute(nil); ok {
		t.Error("there is an attribute in nothing")
	}
}

func TestLoginDoesNotAllocate(t *testing.T) {
	l := aLogin()
	payload, dst := l.Append(nil, mysqlCaps), make([]byte, 0, 512)
	noAllocs(t, "ParseLogin", func() { l, _ = ParseLogin(payload, mysqlCaps) })
	noAllocs(t, "Append", func() { dst = l.Append(dst[:0], mysqlCaps) })
	noAllocs(t, "MaskLogin", func() { _ = MaskLogin(payload, CapSSL) })
	noAllocs(t, "AppendEditedLogin", func() { dst, _ = AppendEditedLogin(dst[:0], payload, mysqlCaps, CapSSL, CapZstd, 3) })
	noAllocs(t, "AppendSSLRequest", func() { dst, _ = AppendSSLRequest(dst[:0], payload) })
	noAllocs(t, "NextAttribute", func() { _, _, _, _ = NextAttribute(l.Attributes) })
	noAllocs(t, "AppendAttribute", func() { dst = AppendAttribute(dst[:0], "_pid", "1") })
}

func FuzzLogin(f *testing.F) { // property: what Append writes says the same
	for _, c := range conversations(f) {
		if len(c.packets) > 1 {
			f.Add(c.packets[1].pkt.Payload(), uint64(0x1d_81fffffe))
		}
	}
	l := aLogin()
	f.Add(l.Append(nil, mysqlCaps), uint64(mysqlCaps))
	f.Fuzz(func(t *testing.T, in []byte, server uint64) {
		caps := Capability(server)
		l, err := ParseLogin(in, caps)
		if err != nil {
			return
		}
		if again, err := ParseLogin(l.Append(nil, caps), caps); err != nil || !equalLogin(l, again) {
			t.Fatalf("%x with %v is %+v, written again %+v, %v", in, caps, l, again, err)
		}
		for rest := l.Attributes; len(rest) > 0; {
			var ok bool
			if _, _, rest, ok = NextAttribute(rest); !ok {
				break
			}
		}
		if err := MaskLogin(in, caps); err != nil {
			t.Fatalf("%x: parses but cannot be masked: %v", in, err)
		}
	})
}

// What a client may leave out at the end, and what may follow the known fields,
// must not move the level.
func TestAppendEditedLogin(t *testing.T) {
	const compression = CapCompress | CapZstd
	l := aLogin()
	l.Capabilities |= CapCompress | CapSSL
	whole := string(l.Append(nil, mysqlCaps))
	l.Capabilities &^= compression
	plain := string(l.Append(nil, mysqlCaps))
	upTo := func(s, end string) string { return s[:strings.Index(s, end)+len(end)] }
	// with is payload with other flags.
	with := func(payload string, c Capability) string {
		return string([]byte{byte(c), byte(c >> 8), byte(c >> 16), byte(c >> 24)}) + payload[4:]
	}
	has := l.Capabilities
	for _, c := range []struct {
		name, payload    string
		shown, drop, add Capability
		want             string
	}{
		{"nothing", whole, mysqlCaps, 0, 0, whole},
		{"zstd dropped", whole, mysqlCaps, CapZstd, 0, with(plain, has|CapCompress)},
		{"zlib dropped", whole, mysqlCaps, CapCompress, 0, with(whole, has|CapZstd)},
		{"both dropped, TLS too", whole, mysqlCaps, compression | CapSSL, 0, with(plain, has&^CapSSL)},
		{"zstd claimed, not shown, dropped", with(plain, has|CapZstd), mysqlCaps &^ CapZstd, CapZstd, 0, plain},
		{"zstd added", plain, mysqlCaps, 0, CapZstd, with(plain, has|CapZstd) + "\x03"},
		{"zstd claimed, not shown, added", with(plain, has|CapZstd), mysqlCaps &^ CapZstd, 0, CapZstd, with(plain, has|CapZstd) + "\x03"},
		{"zstd added to zstd", whole, mysqlCaps, 0, CapZstd, whole[:len(whole)-1] + "\x03"},
		{"zstd for zstd", whole, mysqlCaps, compression, CapZstd, with(plain, has|CapZstd) + "\x03"},
		{"zlib for zstd", whole, mysqlCaps, compression, CapCompress, with(plain, has|CapCompress)},
		{"more behind the level, dropped", whole + "more", mysqlCaps, CapZstd, 0, with(plain, has|CapCompress) + "more"},
		{"more behind the fields, added", plain + "more", mysqlCaps, 0, CapZstd, with(plain, has|CapZstd) + "\x03more"},
		{"level left out, dropped", whole[:len(whole)-1], mysqlCaps, CapZstd, 0, with(plain, has|CapCompress)},
		{"level left out, added", whole[:len(whole)-1], mysqlCaps, 0, CapZstd, whole[:len(whole)-1] + "\x03"},
		{"ends behind the response, added", upTo(plain, "6789012345678"+"9"), mysqlCaps, 0, CapZstd,
			with(upTo(plain, "6789012345678"+"9"), has|CapZstd) + "\x00\x00\x00\x03"},
		{"ends behind the response, zlib added", upTo(plain, "6789012345678"+"9"), mysqlCaps, 0, CapCompress,
			with(upTo(plain, "6789012345678"+"9"), has|CapCompress)},
		{"ends in the database, added", upTo(plain, "shop"), mysqlCaps, 0, CapZstd, with(upTo(plain, "shop"), has|CapZstd) + "\x00\x00\x00\x03"},
		{"ends behind the database, added", upTo(plain, "shop\x00"), mysqlCaps, 0, CapZstd, with(upTo(plain, "shop\x00"), has|CapZstd) + "\x00\x00\x03"},
		{"plugin without NUL, added", upTo(plain, PluginNative), mysqlCaps, 0, CapZstd, with(upTo(plain, PluginNative), has|CapZstd) + "\x00\x00\x03"},
		{"no attributes, added", upTo(plain, PluginNative+"\x00"), mysqlCaps, 0, CapZstd, with(upTo(plain, PluginNative+"\x00"), has|CapZstd) + "\x00\x03"},
		{"no attributes in force, added", upTo(plain, PluginNative+"\x00"), mysqlCaps &^ CapConnectAttrs, CapConnectAttrs, CapZstd,
			with(upTo(plain, PluginNative+"\x00"), has&^CapConnectAttrs|CapZstd) + "\x03"},
		{"extended flags of who has none", plain, mysqlCaps, CapMariaDBBulk, CapMariaDBProgress, plain},
	} {
		got, err := AppendEditedLogin([]byte("dst"), []byte(c.payload), c.shown, c.drop, c.add, 3)
		if err != nil || string(got) != "dst"+c.want {
			t.Errorf("%s: %v\n got %q\nwant %q", c.name, err, got, "dst"+c.want)
		}
	}
	l.Capabilities = l.Capabilities&^CapLongPassword | CapMariaDBProgress | CapMariaDBBulk
	maria := l.Append(nil, mysqlCaps)
	got, err := AppendEditedLogin(nil, maria, mysqlCaps, CapMariaDBBulk, CapMariaDBCacheMetadata, 0)
	if maria[28] = 1 | 16; err != nil || !bytes.Equal(got, maria) {
		t.Errorf("extended flags: %v\n got %x\nwant %x", err, got, maria)
	}
	for name, c := range map[string]struct {
		payload string
		err     error
	}{
		"an SSL request": {whole[:SSLRequestLen], ErrMalformed},
		"cut":            {upTo(whole, "app"), ErrMalformed},
		"old protocol":   {"\x85\x24\x00\x00\x00root\x00\x00", ErrOldProtocol},
		"nothing":        {"", ErrMalformed},
	} {
		if got, err := AppendEditedLogin([]byte("dst"), []byte(c.payload), mysqlCaps, CapZstd, CapCompress, 0); string(got) != "dst" || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v, want %v", name, got, err, c.err)
		}
	}
}

func TestAppendSSLRequest(t *testing.T) {
	l := aLogin()
	login := l.Append(nil, mysqlCaps)
	want := "dst" + string(login[:SSLRequestLen])
	want = want[:4] + string([]byte{want[4] | 8}) + want[5:]
	if got, err := AppendSSLRequest([]byte("dst"), login); err != nil || string(got) != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := AppendSSLRequest([]byte("dst"), login[:SSLRequestLen-1]); string(got) != "dst" || !errors.Is(err, ErrMalformed) {
		t.Errorf("31 bytes: %q, %v, want ErrMalformed", got, err)
	}
}

// FuzzEditLogin: a login means the same to the server as it did to the client,
// but for what was edited.
func FuzzEditLogin(f *testing.F) {
	for _, c := range conversations(f) {
		if len(c.packets) > 1 {
			f.Add(c.packets[1].pkt.Payload(), uint64(0x1d_81fffffe), uint16(5), byte(3))
		}
	}
	l := aLogin()
	f.Add(l.Append(nil, mysqlCaps), uint64(mysqlCaps), uint16(0x24), byte(9))
	f.Add(l.Append(nil, mysqlCaps)[:60], uint64(mysqlCaps), uint16(0x4f), byte(9))
	editable := []Capability{CapSSL, CapCompress, CapZstd, CapFoundRows, CapDeprecateEOF, CapQueryAttributes, CapMariaDBProgress, CapMariaDBBulk}
	f.Fuzz(func(t *testing.T, in []byte, server uint64, edit uint16, zstdLevel byte) {
		shown, drop, add := Capability(server), Capability(0), Capability(0)
		for i, c := range editable {
			if edit&(1<<i) != 0 {
				drop |= c
			}
			if edit&(1<<(8+i)) != 0 {
				add |= c
			}
		}
		l, err := ParseLogin(in, shown)
		out, err2 := AppendEditedLogin(nil, in, shown, drop, add, zstdLevel)
		if want := err != nil || l.SSLRequest; want != (err2 != nil) {
			t.Fatalf("%x: parsed %v, edited %v", in, err, err2)
		}
		if err2 != nil {
			return
		}
		// The server has what it showed, and zstd only if it is to be used.
		want := l
		want.Capabilities = l.Capabilities&^drop | add
		if l.Capabilities&CapLongPassword != 0 {
			want.Capabilities &= capsLow
		}
		backend := shown | add
		switch {
		case add&CapZstd != 0:
			want.ZstdLevel = zstdLevel
		case drop&CapZstd != 0:
			want.ZstdLevel = 0
		}
		got, err := ParseLogin(out, backend)
		if err != nil || !equalLogin(got, want) {
			t.Fatalf("%x with %v, less %v, plus %v: %x, %v\n got %+v\nwant %+v", in, shown, drop, add, out, err, got, want)
		}
	})
}
