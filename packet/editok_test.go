package packet

import (
	"bytes"
	"slices"
	"testing"
)

// notOurs refuses what only a proxy would have asked for.
func notOurs(c SessionChange) bool {
	return c.Kind != SessionGTIDs && string(c.Name) != "last_gtid"
}

const (
	okHead   = "\x00\x01\x02\x02\x40\x00\x00"
	lastGTID = "\x00\x10\x09last_gtid\x050-1-9"
	autoOff  = "\x00\x0f\x0aautocommit\x03OFF"
	shopDB   = "\x01\x05\x04shop"
	ownGTID  = "\x03\x05\x00\x03u:1"
)

// block is session state behind its length.
func block(entries string) string { return string(AppendLenEncString(nil, entries)) }

func TestEditOK(t *testing.T) {
	plain := "\x00\x01\x02\x02\x00\x00\x00"
	both := "\x00\x1f\x09last_gtid\x050-1-9\x0aautocommit\x03OFF"
	long := "\x00\xfc\x2c\x01\x01a\xfc\x27\x01" + string(bytes.Repeat([]byte("v"), 0x127))
	for _, c := range []struct {
		name, payload string
		tracks        bool
		keep          func(SessionChange) bool
		want          string
	}{
		{"nothing to keep from whom", okHead + "\x00" + block(shopDB), true, nil, okHead + "\x00" + block(shopDB)},
		{"all kept", okHead + "\x00" + block(autoOff+shopDB), true, notOurs, okHead + "\x00" + block(autoOff+shopDB)},
		{"first refused", okHead + "\x00" + block(ownGTID+shopDB), true, notOurs, okHead + "\x00" + block(shopDB)},
		{"last refused", okHead + "\x03abc" + block(shopDB+lastGTID), true, notOurs, okHead + "\x03abc" + block(shopDB)},
		{"one in the middle refused", okHead + "\x00" + block(autoOff+lastGTID+shopDB), true, notOurs, okHead + "\x00" + block(autoOff+shopDB)},
		{"all refused", okHead + "\x00" + block(lastGTID), true, notOurs, plain},
		{"all refused, with an info", okHead + "\x03abc" + block(lastGTID+ownGTID), true, notOurs, plain + "\x03abc"},
		{"all refused at the end of rows", "\xfe" + okHead[1:] + "\x00" + block(ownGTID), true, notOurs, "\xfe" + plain[1:]},
		{"one variable of an entry refused", okHead + "\x00" + block(both+shopDB), true, notOurs, okHead + "\x00" + block(autoOff+shopDB)},
		{"both variables of an entry refused", okHead + "\x00" + block(both+shopDB), true,
			func(c SessionChange) bool { return c.Kind != SessionVariable }, okHead + "\x00" + block(shopDB)},
		{"lengths of three bytes become one", okHead + "\x00" + block(long+shopDB), true,
			func(c SessionChange) bool { return string(c.Name) != "a" }, okHead + "\x00" + block(shopDB)},
		{"lengths of three bytes stay", okHead + "\x00" + block(long+shopDB+lastGTID), true, notOurs, okHead + "\x00" + block(long+shopDB)},
		{"a kind of the future is kept", okHead + "\x00" + block("\x63\x02xy"+ownGTID), true, notOurs, okHead + "\x00" + block("\x63\x02xy")},
		{"a client without the capability", okHead + "\x00" + block(autoOff+shopDB), false, notOurs, plain},
		{"a client without the capability, info", okHead + "\x03abc" + block(autoOff), false, nil, plain + "\x03abc"},
		{"other flags stay", "\x00\xfc\x00\x01\xfd\x00\x00\x01\x03\xe2\x05\x00\x00" + block(shopDB), false, nil, "\x00\xfc\x00\x01\xfd\x00\x00\x01\x03\xa2\x05\x00"},
		{"the flag and nothing behind it", okHead, true, notOurs, plain},
		{"the flag, an info and nothing behind it", okHead + "\x03abc", false, nil, plain + "\x03abc"},
		{"the flag and empty state", okHead + "\x00\x00", true, notOurs, plain},
		{"no flag", plain, false, nil, plain},
		{"no flag, info", plain + "\x03abc", false, nil, plain + "\x03abc"},
		{"an EOF", "\xfe\x00\x40\x02\x40", false, nil, "\xfe\x00\x40\x02\x40"},
		{"an ERR", "\xff\x15\x04#28000no", false, nil, "\xff\x15\x04#28000no"},
		{"nothing", "", false, nil, ""},
		{"a flag and no more", okHead[:5], false, nil, okHead[:5]},
		{"state that is cut", okHead + "\x00\x20" + shopDB, false, nil, okHead + "\x00\x20" + shopDB},
		{"an entry that is cut", okHead + "\x00" + block(shopDB+"\x01\x09\x01s"), true, notOurs, okHead + "\x00" + block(shopDB+"\x01\x09\x01s")},
		{"an entry that is cut, without the capability", okHead + "\x00" + block("\x00\x02\x01a"), false, nil, okHead + "\x00" + block("\x00\x02\x01a")},
		{"bytes behind the state", okHead + "\x00" + block(ownGTID) + "x", true, notOurs, okHead + "\x00" + block(ownGTID) + "x"},
	} {
		if got := EditOK([]byte("dst"), []byte(c.payload), c.tracks, c.keep); string(got) != "dst"+c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got[3:], c.want)
		}
	}
}

func TestEditOKAsksOfEachChangeOnce(t *testing.T) {
	var asked []string
	EditOK(nil, []byte(okHead+"\x00"+block(autoOff+shopDB+lastGTID)), true, func(c SessionChange) bool {
		asked = append(asked, string(c.Name)+"="+string(c.Value))
		return len(asked) == 2
	})
	if want := []string{"autocommit=OFF", "=shop", "last_gtid=0-1-9"}; !slices.Equal(asked, want) {
		t.Errorf("asked of %q, want %q", asked, want)
	}
	EditOK(nil, []byte(okHead+"\x00"+block(shopDB+"\x01\x09\x01s")), true, func(c SessionChange) bool {
		t.Errorf("asked of %v in a payload that is malformed", c)
		return true
	})
}

func TestEditOKDoesNotAllocate(t *testing.T) {
	payload := []byte(okHead + "\x03abc" + block(autoOff+lastGTID+shopDB))
	dst := make([]byte, 0, len(payload))
	noAllocs(t, "for a client that tracks", func() { dst = EditOK(dst[:0], payload, true, notOurs) })
	noAllocs(t, "for one that does not", func() { dst = EditOK(dst[:0], payload, false, notOurs) })
}

// behindState is what follows the session state of an OK.
func behindState(ok []byte) []byte {
	_, rest, _ := number(ok[1:])
	_, rest, _ = number(rest)
	_, rest, _ = LenEncString(rest[4:])
	if len(rest) > 0 {
		_, rest, _ = LenEncString(rest)
	}
	return rest
}

// FuzzEditOK: what a client reads is what the server said, less what was
// refused, and EditOK never needs more room than its payload.
func FuzzEditOK(f *testing.F) {
	f.Add([]byte(okHead+"\x03abc"+block(autoOff+lastGTID+shopDB)), true, byte(2))
	f.Add([]byte(okHead+"\x00"+block("\x00\x08\x01a\x011\x01b\x012"+ownGTID)), true, byte(1))
	f.Add([]byte(okHead+"\x00"+block(ownGTID)+"x"), true, byte(255))
	f.Add([]byte(okHead+"\xfc\x00\x00\xfc\x07\x00"+shopDB), false, byte(0))
	for _, c := range conversations(f) {
		for _, s := range c.packets {
			if o, err := ParseOK(s.pkt.Payload(), CapSessionTrack); err == nil && len(o.SessionState) > 0 {
				f.Add(bytes.Clone(s.pkt.Payload()), true, byte(1))
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte, tracks bool, refuse byte) {
		var kept []SessionChange
		asked := 0
		keep := func(c SessionChange) bool {
			asked++
			if refuse&(1<<(asked%8)) != 0 {
				return false
			}
			kept = append(kept, c)
			return true
		}
		dst := make([]byte, 0, len(in))
		out := EditOK(dst, in, tracks, keep)
		if len(out) > len(in) || len(out) > 0 && &out[0] != &dst[:1][0] {
			t.Fatalf("%x: %d bytes, more room than the payload's %d was needed", in, len(out), len(in))
		}
		o, err := ParseOK(in, CapSessionTrack)
		changes, bad := changesOf(o.SessionState)
		if err != nil || bad != nil || o.Status&StatusSessionState == 0 || len(behindState(in)) > 0 {
			if !bytes.Equal(out, in) {
				t.Fatalf("%x became %x", in, out)
			}
			return
		}
		if tracks && asked != len(changes) {
			t.Fatalf("%x: asked of %d changes, want %d", in, asked, len(changes))
		}
		if !tracks && asked != 0 {
			t.Fatalf("%x: asked of %d changes, want none", in, asked)
		}
		caps := CapSessionTrack
		if !tracks {
			caps = 0
		}
		got, err := ParseOK(out, caps)
		if err != nil || got.AffectedRows != o.AffectedRows || got.LastInsertID != o.LastInsertID ||
			got.Warnings != o.Warnings || !bytes.Equal(got.Info, o.Info) {
			t.Fatalf("%x became %x, %v\n got %+v\nwant %+v", in, out, err, got, o)
		}
		want := o.Status
		if len(kept) == 0 {
			want &^= StatusSessionState
		}
		left, err := changesOf(got.SessionState)
		if got.Status != want || err != nil || !slices.EqualFunc(left, kept, func(a, b SessionChange) bool {
			return a.Kind == b.Kind && bytes.Equal(a.Name, b.Name) && bytes.Equal(a.Value, b.Value)
		}) {
			t.Fatalf("%x became %x, status %04x, want %04x, %v\n got %v\nwant %v", in, out, got.Status, want, err, left, kept)
		}
	})
}
