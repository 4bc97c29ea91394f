package packet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

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
		{"session tracking added, the client has none", with(plain, has&^CapSessionTrack), mysqlCaps, 0, CapSessionTrack, with(plain, has|CapSessionTrack)},
		{"session tracking added to a login that ends early", with(upTo(plain, "shop"), has&^CapSessionTrack), mysqlCaps, 0, CapSessionTrack,
			with(upTo(plain, "shop"), has|CapSessionTrack)},
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

// FuzzSSLRequest: an SSL request is its 36 bytes, and whatever follows them is
// left for TLS, however it arrives. What is longer is never an SSL request, so
// that nothing can hide in one.
func FuzzSSLRequest(f *testing.F) {
	l := aLogin()
	hello := []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
	f.Add(l.Append(nil, mysqlCaps), uint64(mysqlCaps), hello, uint8(3))
	l.Capabilities = l.Capabilities&^CapLongPassword | CapMariaDBBulk
	f.Add(l.Append(nil, mysqlCaps)[:SSLRequestLen], uint64(0x1d_81fffffe), []byte{}, uint8(35))
	f.Add(l.Append(nil, mysqlCaps), uint64(mysqlCaps), l.Append(nil, mysqlCaps), uint8(36))
	f.Fuzz(func(t *testing.T, login []byte, server uint64, behind []byte, cut uint8) {
		request, err := AppendSSLRequest(nil, login)
		if err != nil {
			if len(login) >= SSLRequestLen {
				t.Fatalf("%x: %v", login, err)
			}
			return
		}
		want := Login{Capabilities: Capability(binary.LittleEndian.Uint32(login)) | CapSSL,
			MaxPacket: binary.LittleEndian.Uint32(login[4:]), Collation: login[8], SSLRequest: true}
		if want.Capabilities&CapLongPassword == 0 {
			want.Capabilities |= Capability(binary.LittleEndian.Uint32(login[28:])) << 32
		}
		stream := append(AppendPacket(nil, 1, request), behind...)
		for _, n := range []int{min(int(cut), len(stream)), len(stream)} {
			pkt, rest, ok := Next(stream[:n])
			if ok != (n >= HeaderLen+SSLRequestLen) {
				t.Fatalf("a packet after %d bytes: %v", n, ok)
			}
			if !ok {
				continue
			}
			got, err := ParseLogin(pkt.Payload(), Capability(server))
			if login[1]&byte(CapProtocol41>>8) == 0 {
				if !errors.Is(err, ErrOldProtocol) {
					t.Fatalf("%x: %v, want ErrOldProtocol", login, err)
				}
			} else if err != nil || !equalLogin(got, want) {
				t.Fatalf("%x: %+v, %v\nwant %+v", request, got, err, want)
			}
			if left := append(bytes.Clone(rest), stream[n:]...); !bytes.Equal(left, behind) {
				t.Fatalf("%x are left for TLS, want %x", left, behind)
			}
		}
		if len(behind) > 0 {
			if got, err := ParseLogin(append(request, behind...), Capability(server)); err == nil && got.SSLRequest {
				t.Fatalf("%x behind an SSL request is taken for a part of it", behind)
			}
		}
	})
}
