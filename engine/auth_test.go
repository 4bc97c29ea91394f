package engine

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"testing"

	"mysqlproxy/packet"
)

// What each plugin's dialogue becomes for the four kinds of sides. A line is who
// speaks, what it says, where that goes and as what; "" is as it was said.
func TestTranslation(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := packet.AppendPublicKey([]byte{1}, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	challenge := bytes.Repeat([]byte{0x31}, packet.ChallengeLen)
	cipher, err := packet.EncryptPassword([]byte("pw"), challenge, &key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	const (
		plain = iota // neither is safe, or both
		clientIs
		serverIs
		clientSocket // the other is TLS
		serverSocket
	)
	type line struct {
		who  byte // c or s
		says []byte
		to   route
		out  []byte // nil: as it was said
	}
	c := func(says string, to route, out ...byte) line { return line{'c', []byte(says), to, out} }
	s := func(says string) line { return line{'s', []byte(says), toClient, nil} }
	sw := func(plugin string) line {
		a := packet.AuthSwitch{Plugin: []byte(plugin), Data: challenge}
		return line{'s', a.Append(nil), toClient, nil}
	}
	full := func(rest ...line) []line { return append([]line{c("scramble", toServer), s("\x01\x04")}, rest...) }
	for _, tc := range []struct {
		name   string
		plugin string
		sides  int
		lines  []line
	}{
		{"native", packet.PluginNative, clientIs, []line{c("scramble", toServer)}},
		{"ed25519", packet.PluginEd25519, clientIs, []line{sw(packet.PluginEd25519), c("signature", toServer)}},
		{"sha2, known to the server", packet.PluginCachingSHA2, clientIs, []line{c("scramble", toServer), s("\x01\x03")}},
		{"sha2, both safe", packet.PluginCachingSHA2, plain, full(c("pw\x00", toServer))},
		{"sha2, neither safe", packet.PluginCachingSHA2, plain, full(c("\x02", toServer), s(string(pem)), c(string(cipher), toServer))},
		{"sha2, password for a key", packet.PluginCachingSHA2, clientIs, full(c("pw\x00", toServer, 2), line{'s', pem, toServer, cipher})},
		{"sha2, switched to", packet.PluginNative, clientIs, append([]line{c("scramble", toServer), sw(packet.PluginCachingSHA2)},
			full(c("pw\x00", toServer, 2), line{'s', pem, toServer, cipher})...)},
		{"sha2, safe client that asks for a key all the same", packet.PluginCachingSHA2, clientIs,
			full(c("\x02", toServer), s(string(pem)), c(string(cipher), toServer))},
		{"sha2, a key for a client", packet.PluginCachingSHA2, serverIs, full(c("\x02", toKey), c(string(cipher), toDecrypt))},
		{"sha2, a client that has a key", packet.PluginCachingSHA2, serverIs, full(c(string(cipher), toDecrypt))},
		{"sha2, refused after the password", packet.PluginCachingSHA2, clientIs, full(c("pw\x00", toServer, 2), line{'s', []byte("\xfe" + packet.PluginNative + "\x00abc"), toClient, nil}, c("x", toServer))},
		{"sha256, password for a key", packet.PluginSHA256, clientIs, []line{c("pw\x00", toServer, 1), {'s', pem, toServer, cipher}}},
		{"sha256, empty password", packet.PluginSHA256, clientIs, []line{c("\x00", toServer)}},
		{"sha256, no password in the login", packet.PluginSHA256, clientIs, []line{c("", toServer), sw(packet.PluginSHA256), c("pw\x00", toServer, 1), {'s', pem, toServer, cipher}}},
		{"sha256, a key for a client", packet.PluginSHA256, serverIs, []line{c("\x01", toKey), c(string(cipher), toDecrypt)}},
		{"sha256, both safe", packet.PluginSHA256, plain, []line{c("pw\x00", toServer)}},
		{"sha256 takes no socket for safe, a server's", packet.PluginSHA256, serverSocket, []line{c("pw\x00", toServer, 1), {'s', pem, toServer, cipher}}},
		{"sha256 takes no socket for safe, a client's", packet.PluginSHA256, clientSocket, []line{c("\x01", toKey), c(string(cipher), toDecrypt)}},
		{"sha2 does, a server's", packet.PluginCachingSHA2, serverSocket, full(c("pw\x00", toServer))},
		{"clear text may go over a socket", packet.PluginClear, serverSocket, []line{c("pw\x00", toServer)}},
		{"clear text would be readable", packet.PluginClear, clientIs, []line{c("pw\x00", toNobody)}},
		{"clear text, both safe or neither", packet.PluginClear, plain, []line{c("pw\x00", toServer)}},
		{"clear text from a client that is not safe", packet.PluginClear, serverIs, []line{c("pw\x00", toServer)}},
		{"dialog would be readable", packet.PluginNative, clientIs, []line{c("x", toServer), sw(packet.PluginDialog), c("pw\x00", toNobody)}},
		{"dialog, a question that looks like a next factor", packet.PluginDialog, serverIs, []line{c("pw\x00", toServer), s("\x02Are you sure?"), c("y\x00", toServer)}},
		{"a token would be readable", pluginOpenID, clientIs, []line{c("token", toNobody)}},
		{"a second factor", packet.PluginNative, clientIs, []line{c("x", toServer), s("\x02" + packet.PluginClear + "\x00"), c("pw\x00", toNobody)}},
		{"empty packets", packet.PluginParsec, clientIs, []line{c("", toServer), s(""), c("", toServer)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := &auth{}
			switch tc.sides {
			case clientIs:
				a.clientIs = encrypted
			case serverIs:
				a.serverIs = encrypted
			case clientSocket:
				a.clientIs, a.serverIs = local, encrypted
			case serverSocket:
				a.clientIs, a.serverIs = encrypted, local
			}
			a.begin([]byte(tc.plugin), challenge)
			for i, ln := range tc.lines {
				to, out, err := toNobody, []byte(nil), error(nil)
				if ln.who == 'c' {
					to, out = a.fromClient(bytes.Clone(ln.says))
				} else if to, out, err = a.fromServer(bytes.Clone(ln.says)); err != nil {
					t.Fatalf("line %d: %v", i, err)
				}
				if to != ln.to {
					t.Fatalf("line %d: it goes to %d, want %d", i, to, ln.to)
				}
				want := ln.out
				switch {
				case to == toKey || to == toNobody:
					continue
				case want == nil:
					want = ln.says
				case bytes.Equal(want, cipher): // encrypted anew each time
					got, err := packet.DecryptPassword(out, challenge, key)
					if err != nil || string(got) != "pw" {
						t.Fatalf("line %d: the server is told %q, %v", i, got, err)
					}
					continue
				}
				if !bytes.Equal(out, want) {
					t.Fatalf("line %d: % x, want % x", i, out, want)
				}
			}
		})
	}
}

// A server whose key is none ends the login.
func TestTranslationNeedsAKey(t *testing.T) {
	for _, says := range []string{"\x01", "\x01-----BEGIN PUBLIC KEY-----\n", "\x01" + fmt.Sprint(make([]byte, 300))} {
		a := &auth{clientIs: encrypted}
		a.begin([]byte(packet.PluginSHA256), bytes.Repeat([]byte{1}, packet.ChallengeLen))
		if to, _ := a.fromClient([]byte("pw\x00")); to != toServer {
			t.Fatal("the key is not asked for")
		}
		if to, _, err := a.fromServer([]byte(says)); err == nil || to == toClient {
			t.Errorf("% x: goes to %d, %v", says, to, err)
		}
	}
}

// FuzzTranslation has both sides say anything: nothing panics, and a password
// that only one side may read never goes out as it is.
func FuzzTranslation(f *testing.F) {
	f.Add(uint8(1), packet.PluginCachingSHA2, []byte("\x08c-scramb\x03s\x01\x04\x04cpw\x00"))
	f.Add(uint8(1), packet.PluginSHA256, []byte("\x04cpw\x00\x05s\xfed\x00x"))
	f.Add(uint8(1), packet.PluginClear, []byte("\x04cpw\x00"))
	f.Fuzz(func(t *testing.T, sides uint8, plugin string, talk []byte) {
		a := &auth{clientIs: safety(sides & 3 % 3), serverIs: safety(sides >> 2 & 3 % 3)}
		a.begin([]byte(plugin), bytes.Repeat([]byte{7}, packet.ChallengeLen))
		for len(talk) > 1 {
			n := min(len(talk), 1+int(talk[0]))
			says := talk[1:n]
			talk = talk[n:]
			if len(says) == 0 {
				continue
			}
			who, says := says[0], says[1:]
			if who != 'c' {
				if _, _, err := a.fromServer(says); err != nil {
					return
				}
				continue
			}
			before := *a
			to, out := a.fromClient(says)
			asItWas := to == toServer && len(says) > 1 && bytes.Equal(out, says)
			if clientSafe, serverSafe := before.safe(); clientSafe && !serverSafe && asItWas && before.step != authThrough &&
				(sendsPassword(before.plugin) && len(bytes.Trim(says, "\x00")) > 0 || before.step == authFull) {
				t.Fatalf("%s, step %d: % x goes to the server as it is", before.plugin, before.step, says)
			}
		}
	})
}
