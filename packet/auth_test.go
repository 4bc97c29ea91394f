package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func TestAuthSwitchForms(t *testing.T) {
	challenge := "abcdefghijklmnopqrst"
	nonce := "abcdefghijklmnopqrstuvwxyz01234\x00" // of client_ed25519: 32 bytes, the last is part of it
	for _, c := range []struct {
		name, payload, plugin, data, again string
	}{
		{"challenge with NUL", "\xfemysql_native_password\x00" + challenge + "\x00", PluginNative, challenge, ""},
		{"challenge without NUL", "\xfemysql_native_password\x00" + challenge, PluginNative, challenge,
			"\xfemysql_native_password\x00" + challenge + "\x00"},
		{"32 bytes", "\xfeclient_ed25519\x00" + nonce, "client_ed25519", nonce, ""},
		{"a prompt", "\xfedialog\x00\x04Password: ", "dialog", "\x04Password: ", ""},
		{"no data", "\xfemysql_clear_password\x00", "mysql_clear_password", "", ""},
		{"plugin without NUL", "\xfemysql_clear_password", "mysql_clear_password", "", "\xfemysql_clear_password\x00"},
		{"old password", "\xfe", PluginOld, "", "\xfemysql_old_password\x00"},
	} {
		a, err := ParseAuthSwitch([]byte(c.payload))
		if err != nil || string(a.Plugin) != c.plugin || string(a.Data) != c.data {
			t.Errorf("%s: got %q %q, %v", c.name, a.Plugin, a.Data, err)
		}
		want := c.again
		if want == "" {
			want = c.payload
		}
		if got := a.Append(nil); string(got) != want {
			t.Errorf("%s: Append gives %q, want %q", c.name, got, want)
		}
	}
	for _, payload := range []string{"", "\x00", "\x01\x03", "\x02plugin\x00"} {
		if _, err := ParseAuthSwitch([]byte(payload)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: error %v, want ErrMalformed", payload, err)
		}
	}
}

func TestAuthMoreData(t *testing.T) {
	payload := AppendAuthMoreData(nil, "\x04")
	if string(payload) != "\x01\x04" {
		t.Fatalf("Append: %x", payload)
	}
	if data, err := ParseAuthMoreData(payload); err != nil || string(data) != "\x04" {
		t.Errorf("got %x, %v, want 04", data, err)
	}
	for _, payload := range []string{"", "\x04Password, please:"} {
		if _, err := ParseAuthMoreData([]byte(payload)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: error %v, want ErrMalformed", payload, err)
		}
	}
}

func equalChangeUser(a, b ChangeUser) bool {
	return bytes.Equal(a.User, b.User) && bytes.Equal(a.AuthResponse, b.AuthResponse) && bytes.Equal(a.Database, b.Database) &&
		a.Collation == b.Collation && bytes.Equal(a.Plugin, b.Plugin) && bytes.Equal(a.Attributes, b.Attributes)
}

func TestChangeUserFieldsEndWhereTheClientEndsThem(t *testing.T) {
	const caps = CapProtocol41 | CapSecureConnection | CapPluginAuth | CapConnectAttrs | CapPluginAuthLenenc
	all := ChangeUser{
		User: []byte("app"), AuthResponse: []byte("\x00\x01response"), Database: []byte("shop"), Collation: 0x8ff,
		Plugin: []byte(PluginNative), Attributes: []byte("\x04_pid\x0217"),
	}
	payload := "\x11app\x00\x0a\x00\x01responseshop\x00\xff\x08mysql_native_password\x00\x08\x04_pid\x0217"
	if got := all.Append(nil, caps); string(got) != payload {
		t.Errorf("Append: %q, want %q", got, payload)
	}
	upTo := func(n int) []byte { return []byte(payload[:n]) }
	db, collation := len("\x11app\x00\x0a\x00\x01responseshop\x00"), len("\x11app\x00\x0a\x00\x01responseshop\x00\xff\x08")
	for _, c := range []struct {
		name    string
		payload []byte
		caps    Capability
		change  func(*ChangeUser)
	}{
		{"all", []byte(payload), caps, func(*ChangeUser) {}},
		{"up to the database", upTo(db), caps, func(u *ChangeUser) { u.Collation, u.Plugin, u.Attributes = 0, nil, nil }},
		{"database without NUL", upTo(db - 1), caps, func(u *ChangeUser) { u.Collation, u.Plugin, u.Attributes = 0, nil, nil }},
		{"up to the collation", upTo(collation), caps, func(u *ChangeUser) { u.Plugin, u.Attributes = nil, nil }},
		{"no attributes in force", []byte(payload), caps &^ CapConnectAttrs, func(u *ChangeUser) { u.Attributes = nil }},
		{"no plugins in force", upTo(collation), caps &^ (CapPluginAuth | CapConnectAttrs), func(u *ChangeUser) { u.Plugin, u.Attributes = nil, nil }},
	} {
		want := all
		c.change(&want)
		if got, err := ParseChangeUser(c.payload, c.caps); err != nil || !equalChangeUser(got, want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.name, got, err, want)
		}
	}
	whole := len("\x11app\x00\x0a\x00\x01response")
	everyCut(t, []byte(payload), whole, func(b []byte) error { _, err := ParseChangeUser(b, caps); return err })
	for name, payload := range map[string]string{
		"another command": "\x03select 1", "half a collation": payload[:collation-1], "attributes too long": payload[:len(payload)-1],
	} {
		if _, err := ParseChangeUser([]byte(payload), caps); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
}

// The login's length-encoded length is not that of COM_CHANGE_USER: there a
// length of 251 to 255 is one byte too.
func TestChangeUserHasALengthByteInAnyCase(t *testing.T) {
	const caps = CapSecureConnection | CapPluginAuthLenenc
	for n, want := range map[int]int{252: 252, 255: 255, 300: 255} {
		u := ChangeUser{AuthResponse: bytes.Repeat([]byte{1}, n)}
		payload := u.Append(nil, caps)
		got, err := ParseChangeUser(payload, caps)
		if err != nil || len(got.AuthResponse) != want || payload[2] != byte(want) {
			t.Errorf("%d bytes: length byte %d, %d bytes read, %v, want %d", n, payload[2], len(got.AuthResponse), err, want)
		}
	}
}

// The hash is what SELECT PASSWORD('secret') gives behind its *. That the
// responses are right, the captures of real logins prove.
func TestNativePassword(t *testing.T) {
	password, challenge := []byte("secret"), []byte("abcdefghijklmnopqrst")
	hash := NativeHash(password)
	if got := hex.EncodeToString(hash[:]); got != "14e65567abdb5135d0cfd9a70b3032c179a49ee7" {
		t.Errorf("NativeHash: %s", got)
	}
	response := NativePassword(password, challenge)
	secret, ok := VerifyNative(response[:], challenge, hash)
	if !ok || secret != NativeSecret(password) {
		t.Fatalf("VerifyNative of the right response: %x, %v", secret, ok)
	}
	// With the secret any other challenge can be answered.
	other := []byte("tsrqponmlkjihgfedcba")
	if NativeResponse(secret, other) != NativePassword(password, other) {
		t.Error("NativeResponse differs from NativePassword")
	}
	// The NUL behind a challenge is not part of it.
	if NativePassword(password, append(challenge, 0)) != response {
		t.Error("the challenge's 21st byte counts")
	}
}

func TestVerifyNativeRefuses(t *testing.T) {
	password, challenge := []byte("secret"), []byte("abcdefghijklmnopqrst")
	hash := NativeHash(password)
	right, wrong := NativePassword(password, challenge), NativePassword([]byte("Secret"), challenge)
	flipped := right
	flipped[19] ^= 1
	for name, response := range map[string][]byte{
		"another password": wrong[:], "one bit changed": flipped[:], "nothing": nil, "19 bytes": right[:19], "21 bytes": append(right[:], 0),
	} {
		if secret, ok := VerifyNative(response, challenge, hash); ok || secret != [20]byte{} {
			t.Errorf("%s: %x, %v, want no", name, secret, ok)
		}
	}
	if _, ok := VerifyNative(right[:], []byte("ABCDEFGHIJKLMNOPQRST"), hash); ok {
		t.Error("the response to another challenge was taken")
	}
}

func TestAuthDoesNotAllocate(t *testing.T) {
	const caps = CapSecureConnection | CapPluginAuth
	a := AuthSwitch{Plugin: []byte(PluginNative), Data: []byte("abcdefghijklmnopqrst")}
	u := ChangeUser{User: []byte("app"), AuthResponse: make([]byte, 20), Plugin: []byte(PluginNative)}
	switched, changed := a.Append(nil), u.Append(nil, caps)
	dst, password, hash := make([]byte, 0, 256), []byte("secret"), NativeHash([]byte("secret"))
	noAllocs(t, "ParseAuthSwitch", func() { a, _ = ParseAuthSwitch(switched) })
	noAllocs(t, "AuthSwitch.Append", func() { dst = a.Append(dst[:0]) })
	noAllocs(t, "AppendAuthMoreData", func() { dst = AppendAuthMoreData(dst[:0], "\x04") })
	noAllocs(t, "ParseAuthMoreData", func() { _, _ = ParseAuthMoreData(dst) })
	noAllocs(t, "ParseChangeUser", func() { u, _ = ParseChangeUser(changed, caps) })
	noAllocs(t, "ChangeUser.Append", func() { dst = u.Append(dst[:0], caps) })
	noAllocs(t, "VerifyNative", func() {
		r := NativePassword(password, a.Data)
		_, _ = VerifyNative(r[:], a.Data, hash)
	})
}

func FuzzAuth(f *testing.F) { // property: what Append writes says the same
	f.Add([]byte("\xfemysql_native_password\x00abcdefghijklmnopqrst\x00"), uint64(0))
	f.Add([]byte("\x11app\x00\x0a\x00\x01responseshop\x00\xff\x08mysql_native_password\x00\x08\x04_pid\x0217"), uint64(mysqlCaps))
	f.Add([]byte("\x01\x04"), uint64(0))
	f.Fuzz(func(t *testing.T, in []byte, flags uint64) {
		caps := Capability(flags)
		if a, err := ParseAuthSwitch(in); err == nil {
			again, err := ParseAuthSwitch(a.Append(nil))
			if err != nil || !bytes.Equal(a.Plugin, again.Plugin) || !bytes.Equal(a.Data, again.Data) {
				t.Fatalf("switch %x is %+v, written again %+v, %v", in, a, again, err)
			}
		}
		if data, err := ParseAuthMoreData(in); err == nil && !bytes.Equal(AppendAuthMoreData(nil, data), in) {
			t.Fatalf("more data %x is %x", in, data)
		}
		if u, err := ParseChangeUser(in, caps); err == nil {
			if again, err := ParseChangeUser(u.Append(nil, caps), caps); err != nil || !equalChangeUser(u, again) {
				t.Fatalf("change user %x is %+v, written again %+v, %v", in, u, again, err)
			}
		}
	})
}

func FuzzNativePassword(f *testing.F) { // property: who answers with the password is let in, who does not is not
	f.Add([]byte("secret"), []byte("Secret"), []byte("abcdefghijklmnopqrst"))
	f.Fuzz(func(t *testing.T, password, other, challenge []byte) {
		response := NativePassword(password, challenge)
		if secret, ok := VerifyNative(response[:], challenge, NativeHash(password)); !ok || secret != NativeSecret(password) {
			t.Fatalf("password %x, challenge %x: %x, %v", password, challenge, secret, ok)
		}
		if _, ok := VerifyNative(response[:], challenge, NativeHash(other)); ok != bytes.Equal(password, other) {
			t.Fatalf("passwords %x and %x, challenge %x: %v", password, other, challenge, ok)
		}
	})
}
