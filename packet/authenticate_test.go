package packet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const testPassword = "ed-password"

// serverSays is one packet of a server's and what its client has to answer.
type serverSays struct {
	payload string
	check   func(t *testing.T, response []byte) // nil: the client stays silent
}

// says is exactly these bytes.
func says(want string) func(*testing.T, []byte) {
	return func(t *testing.T, got []byte) {
		t.Helper()
		if string(got) != want {
			t.Errorf("the answer is %q, want %q", got, want)
		}
	}
}

func TestAuthenticatorAnswers(t *testing.T) {
	key, pem := rsaKey(t)
	short := strings.Repeat("c", ChallengeLen)
	long := strings.Repeat("\x00C", Ed25519ChallengeLen/2)
	native := NativePassword([]byte(testPassword), []byte(short))
	sha2 := CachingSHA2Response([]byte(testPassword), []byte(short))
	nulled := testPassword + "\x00"
	encrypted := func(t *testing.T, got []byte) {
		t.Helper()
		if password, err := DecryptPassword(got, []byte(short), key); err != nil || string(password) != testPassword {
			t.Errorf("the answer is %q, encrypted for the key, want the password; %v", password, err)
		}
	}
	sw := func(plugin, data string) string {
		a := AuthSwitch{Plugin: []byte(plugin), Data: []byte(data)}
		return string(a.Append(nil))
	}
	password, hash := NewSecret([]byte(testPassword)), NewNativeSecret(NativeSecret([]byte(testPassword)))
	for _, c := range []struct {
		name     string
		secret   *Secret
		leg      Leg
		greeting string // the plugin
		login    string // the plugin that the login names
		response string
		server   []serverSays
	}{
		{"native", password, LegReadable, PluginNative, PluginNative, string(native[:]), nil},
		{"native by its hash", hash, LegReadable, PluginNative, PluginNative, string(native[:]), nil},
		{"native, empty password", &Secret{}, LegReadable, PluginNative, PluginNative, "", nil},
		{"native, switched to", hash, LegReadable, PluginCachingSHA2, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginNative, short), says(string(native[:]))}}},
		{"a greeting with a plugin that nobody knows", password, LegReadable, "auth_gssapi_client", PluginNative, string(native[:]),
			[]serverSays{{sw(PluginNative, short), says(string(native[:]))}}},
		{"sha2, known to the server", password, LegReadable, PluginCachingSHA2, PluginCachingSHA2, string(sha2[:]),
			[]serverSays{{"\x01\x03", nil}}},
		{"sha2, empty password", &Secret{}, LegReadable, PluginCachingSHA2, PluginCachingSHA2, "", nil},
		{"sha2, full over TLS", password, LegTLS, PluginCachingSHA2, PluginCachingSHA2, string(sha2[:]),
			[]serverSays{{"\x01\x04", says(nulled)}}},
		{"sha2, full over a socket", password, LegLocal, PluginCachingSHA2, PluginCachingSHA2, string(sha2[:]),
			[]serverSays{{"\x01\x04", says(nulled)}}},
		{"sha2, full by the server's key", password, LegReadable, PluginCachingSHA2, PluginCachingSHA2, string(sha2[:]),
			[]serverSays{{"\x01\x04", says("\x02")}, {"\x01" + string(pem), encrypted}}},
		{"sha2, switched to", password, LegTLS, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginCachingSHA2, short), says(string(sha2[:]))}, {"\x01\x04", says(nulled)}}},
		{"sha256 over TLS", password, LegTLS, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginSHA256, short), says(nulled)}}},
		{"sha256 over a socket", password, LegLocal, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginSHA256, short), says("\x01")}, {"\x01" + string(pem), encrypted}}},
		{"sha256 by the server's key", password, LegReadable, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginSHA256, short), says("\x01")}, {"\x01" + string(pem), encrypted}}},
		{"sha256, empty password", &Secret{}, LegReadable, PluginNative, PluginNative, "",
			[]serverSays{{sw(PluginSHA256, short), says("\x00")}}},
		{"ed25519", password, LegReadable, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginEd25519, long), func(t *testing.T, got []byte) {
				if !ed25519.Verify(unbase64(t, edPublic), []byte(long), got) {
					t.Errorf("%x does not verify", got)
				}
			}}}},
		{"parsec", NewSecret([]byte(parsecPassword)), LegReadable, PluginCachingSHA2, PluginCachingSHA2, "",
			[]serverSays{{sw(PluginParsec, long), says("")}, {"\x01P\x00" + string(unbase64(t, parsecSalt)), func(t *testing.T, got []byte) {
				if len(got) != 96 || !ed25519.Verify(unbase64(t, parsecPublic), append([]byte(long), got[:32]...), got[32:]) {
					t.Errorf("%x does not verify", got)
				}
			}}}},
		{"clear text over TLS", password, LegTLS, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginClear, ""), says(nulled)}}},
		{"clear text over a socket", password, LegLocal, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginClear, ""), says(nulled)}}},
		{"dialog, a question for the password", password, LegTLS, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginDialog, "\x04Password: "), says(nulled)}}},
		{"dialog, the last question", password, LegLocal, PluginNative, PluginNative, string(native[:]),
			[]serverSays{{sw(PluginDialog, "\x05Password: "), says(nulled)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := NewAuthenticator(c.secret, c.leg)
			plugin, response, err := a.Greet([]byte(c.greeting), []byte(short))
			if err != nil || plugin != c.login || c.response != "" && string(response) != c.response {
				t.Fatalf("the login names %s with %q, %v; want %s with %q", plugin, response, err, c.login, c.response)
			}
			for i, s := range c.server {
				response, speaks, err := a.Answer([]byte(s.payload))
				if err != nil || speaks != (s.check != nil) {
					t.Fatalf("packet %d: speaks %v, %v", i, speaks, err)
				}
				if s.check != nil {
					s.check(t, response)
				}
			}
		})
	}
}

// What it does not answer, and that what it says of it names the plugin.
func TestAuthenticatorRefuses(t *testing.T) {
	_, pem := rsaKey(t)
	short, long := strings.Repeat("c", ChallengeLen), strings.Repeat("C", Ed25519ChallengeLen)
	sw := func(plugin, data string) string {
		a := AuthSwitch{Plugin: []byte(plugin), Data: []byte(data)}
		return string(a.Append(nil))
	}
	password, hash := NewSecret([]byte(testPassword)), NewNativeSecret(NativeSecret([]byte(testPassword)))
	cleared := NewSecret([]byte(testPassword))
	cleared.Clear()
	fault := func(plugin string, f PluginFault) error { return &PluginError{plugin, f} }
	for _, c := range []struct {
		name   string
		secret *Secret
		leg    Leg
		server []string
		want   error
	}{
		{"a plugin that nobody knows", password, LegTLS, []string{sw("auth_gssapi_client", "x")}, fault("auth_gssapi_client", PluginUnknown)},
		{"the old plugin", password, LegTLS, []string{"\xfe"}, fault(PluginOld, PluginUnknown)},
		{"clear text that anybody could read", password, LegReadable, []string{sw(PluginClear, "")}, fault(PluginClear, PluginUnsafe)},
		{"a question that anybody could read", password, LegReadable, []string{sw(PluginDialog, "\x04Password: ")}, fault(PluginDialog, PluginUnsafe)},
		{"a question for something else", password, LegTLS, []string{sw(PluginDialog, "\x02Your name: ")}, fault(PluginDialog, PluginQuestion)},
		{"no question", password, LegTLS, []string{sw(PluginDialog, "")}, fault(PluginDialog, PluginQuestion)},
		{"a second question", password, LegTLS, []string{sw(PluginDialog, "\x04Password: "), "\x03Sure? "}, fault(PluginDialog, PluginQuestion)},
		{"a second factor", password, LegTLS, []string{"\x02" + PluginClear + "\x00"}, fault(PluginNative, PluginFactor)},
		{"sha2 by a hash", hash, LegTLS, []string{sw(PluginCachingSHA2, short)}, fault(PluginCachingSHA2, PluginPassword)},
		{"sha256 by a hash", hash, LegTLS, []string{sw(PluginSHA256, short)}, fault(PluginSHA256, PluginPassword)},
		{"ed25519 by a hash", hash, LegTLS, []string{sw(PluginEd25519, long)}, fault(PluginEd25519, PluginPassword)},
		{"parsec by a hash", hash, LegTLS, []string{sw(PluginParsec, long)}, fault(PluginParsec, PluginPassword)},
		{"clear text by a hash", hash, LegTLS, []string{sw(PluginClear, "")}, fault(PluginClear, PluginPassword)},
		{"a secret that was cleared", cleared, LegTLS, []string{sw(PluginClear, "")}, fault(PluginClear, PluginPassword)},
		{"an empty packet", password, LegTLS, []string{""}, ErrMalformed},
		{"an OK", password, LegTLS, []string{"\x00\x00\x00\x02\x00\x00\x00"}, ErrMalformed},
		{"native with more to say", password, LegTLS, []string{"\x01\x04"}, ErrMalformed},
		{"native without a challenge", password, LegTLS, []string{sw(PluginNative, "short")}, ErrMalformed},
		{"sha2 without a challenge", password, LegTLS, []string{sw(PluginCachingSHA2, "short")}, ErrMalformed},
		{"sha256 without a challenge", password, LegTLS, []string{sw(PluginSHA256, "")}, ErrMalformed},
		{"ed25519 with a short challenge", password, LegTLS, []string{sw(PluginEd25519, short)}, ErrMalformed},
		{"parsec with a short challenge", password, LegTLS, []string{sw(PluginParsec, short)}, ErrMalformed},
		{"sha2 asks twice", password, LegTLS, []string{sw(PluginCachingSHA2, short), "\x01\x04", "\x01\x04"}, ErrMalformed},
		{"sha2 asks for a third thing", password, LegTLS, []string{sw(PluginCachingSHA2, short), "\x01\x05"}, ErrMalformed},
		{"a key that is none", password, LegReadable, []string{sw(PluginCachingSHA2, short), "\x01\x04", "\x01-----"}, ErrMalformed},
		{"a key that was not asked for", password, LegTLS, []string{sw(PluginCachingSHA2, short), "\x01" + string(pem)}, ErrMalformed},
		{"another key", password, LegReadable, []string{sw(PluginSHA256, short), "\x01" + string(pem), "\x01" + string(pem)}, ErrMalformed},
		{"parsec with another derivation", password, LegTLS, []string{sw(PluginParsec, long), "\x01S\x00salt"}, ErrMalformed},
		{"parsec with too many iterations", password, LegTLS, []string{sw(PluginParsec, long), "\x01P\x04salt"}, ErrMalformed},
		{"parsec without a salt", password, LegTLS, []string{sw(PluginParsec, long), "\x01P\x00"}, ErrMalformed},
		{"parsec with a long salt", password, LegTLS, []string{sw(PluginParsec, long), "\x01P\x00" + strings.Repeat("s", 65)}, ErrMalformed},
		{"switches without end", password, LegTLS, repeat(sw(PluginClear, ""), maxRounds+1), ErrMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := NewAuthenticator(c.secret, c.leg)
			if _, _, err := a.Greet([]byte(PluginNative), []byte(short)); err != nil {
				t.Fatal(err)
			}
			for i, p := range c.server {
				_, speaks, err := a.Answer([]byte(p))
				if last := i == len(c.server)-1; !last && err == nil {
					continue
				}
				if speaks {
					t.Error("it answers all the same")
				}
				var got, want *PluginError
				if errors.As(c.want, &want) {
					if !errors.As(err, &got) || *got != *want {
						t.Fatalf("packet %d: got %v, want %v", i, err, want)
					}
					if !strings.Contains(err.Error(), want.Plugin) {
						t.Errorf("%q does not name %s", err, want.Plugin)
					}
				} else if !errors.Is(err, c.want) {
					t.Fatalf("packet %d: got %v, want %v", i, err, c.want)
				}
				return
			}
			t.Fatal("it answered everything")
		})
	}
	if _, _, err := NewAuthenticator(password, LegTLS).Greet([]byte(PluginCachingSHA2), []byte("short")); !errors.Is(err, ErrMalformed) {
		t.Errorf("a greeting without a challenge: %v, want ErrMalformed", err)
	}
	if text := fault(strings.Repeat("x", 1000), PluginUnknown).Error(); len(text) > 200 {
		t.Errorf("a long name makes an error of %d bytes", len(text))
	}
}

func repeat(s string, n int) (list []string) {
	for range n {
		list = append(list, s)
	}
	return list
}

// What MariaDB 11.8 has stored for these passwords: PluginEd25519's public key,
// and PluginParsec's salt and public key (P0:salt:key in mysql.global_priv).
const (
	edPublic       = "CdL/jU1R0r9mgNWJl37dynfHgAjl0hIgDMfrNvnSmq4"
	parsecPassword = "parsec-password"
	parsecSalt     = "adX2cDs6328hpdxezPHgSTdb"
	parsecPublic   = "WoBbqRFBGLMtEoS6Q09lLHp+l7UrrgzfxX6JIee4+O0"
)

func unbase64(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSignaturesHaveTheKeysThatServersStore(t *testing.T) {
	h := sha512.Sum512([]byte(testPassword))
	if _, public := ed25519Key(&h); !bytes.Equal(public, unbase64(t, edPublic)) {
		t.Errorf("ed25519: the public key is %x, the server's %x", public, unbase64(t, edPublic))
	}
	key, err := parsecKey([]byte(parsecPassword), append([]byte("P\x00"), unbase64(t, parsecSalt)...))
	if err != nil {
		t.Fatal(err)
	}
	if public := key.Public().(ed25519.PublicKey); !bytes.Equal(public, unbase64(t, parsecPublic)) {
		t.Errorf("parsec: the public key is %x, the server's %x", public, unbase64(t, parsecPublic))
	}
}

func TestSecretsAreNotPrintedAndCanBeCleared(t *testing.T) {
	mine := []byte(testPassword)
	s := NewSecret(mine)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s)} {
		if strings.Contains(text, testPassword) || strings.Contains(text, fmt.Sprint(mine)) {
			t.Errorf("a secret is printed as %q", text)
		}
	}
	held, ok := s.Password()
	if !ok || string(held) != testPassword {
		t.Fatalf("the password is %q, %v", held, ok)
	}
	s.Clear()
	if !bytes.Equal(held, make([]byte, len(held))) {
		t.Errorf("after Clear the memory has %q", held)
	}
	if string(mine) != testPassword {
		t.Errorf("Clear has changed the caller's own bytes to %q", mine)
	}
	if p, ok := s.Password(); ok || len(p) > 0 {
		t.Errorf("after Clear the password is %q, %v", p, ok)
	}
}

// Whatever a server says, nothing panics, and a password is never readable on a
// leg where anybody could listen.
func FuzzAuthenticator(f *testing.F) {
	_, pem := rsaKey(f)
	join := func(packets ...string) []byte {
		var b []byte
		for _, p := range packets {
			b = AppendPacket(b, 0, []byte(p))
		}
		return b
	}
	short, long := strings.Repeat("c", ChallengeLen), strings.Repeat("C", Ed25519ChallengeLen)
	for _, plugin := range []string{PluginNative, PluginCachingSHA2, PluginSHA256, PluginClear, PluginDialog} {
		f.Add(uint8(0), []byte(plugin), join("\xfe"+plugin+"\x00"+short+"\x00", "\x01\x04", "\x01"+string(pem)))
		f.Add(uint8(1), []byte(plugin), join("\xfe"+plugin+"\x00\x04Password: ", "\x03Sure?"))
	}
	f.Add(uint8(2), []byte(PluginEd25519), join("\xfe"+PluginEd25519+"\x00"+long))
	f.Add(uint8(0), []byte(PluginParsec), join("\xfe"+PluginParsec+"\x00"+long, "\x01P\x00salt"))
	f.Fuzz(func(t *testing.T, leg uint8, plugin, stream []byte) {
		const password = "never readable"
		a := NewAuthenticator(NewSecret([]byte(password)), Leg(leg%3))
		check := func(response []byte) {
			if a.leg == LegReadable && bytes.Contains(response, []byte(password)) {
				t.Fatalf("the password is readable: %q", response)
			}
		}
		_, response, err := a.Greet(plugin, []byte(short))
		if err != nil {
			t.Fatal(err)
		}
		check(response)
		for {
			pkt, rest, ok := Next(stream)
			if !ok {
				return
			}
			stream = rest
			_ = a.Costly(pkt.Payload())
			response, speaks, err := a.Answer(pkt.Payload())
			if err != nil {
				if speaks || response != nil {
					t.Fatalf("%v, and yet an answer: %q", err, response)
				}
				return
			}
			check(response)
		}
	})
}
