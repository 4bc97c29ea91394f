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
