package packet

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func changesOf(state []byte) (changes []SessionChange, err error) {
	it := SessionChangesOf(state)
	for c, ok := it.Next(); ok; c, ok = it.Next() {
		changes = append(changes, c)
	}
	return changes, it.Err()
}

func TestSessionChanges(t *testing.T) {
	for _, c := range []struct {
		name  string
		state string
		want  string
	}{
		{"nothing", "", ""},
		{"a variable", "\x00\x0f\x0aautocommit\x03OFF", "SYSTEM_VARIABLES autocommit=OFF"},
		{"two variables in an entry", "\x00\x08\x01a\x011\x01b\x012", "SYSTEM_VARIABLES a=1|SYSTEM_VARIABLES b=2"},
		{"a schema", "\x01\x05\x04shop", "SCHEMA =shop"},
		{"anything has changed", "\x02\x011", "STATE_CHANGE =1"},
		{"GTIDs of MySQL", "\x03\x05\x00\x03u:1", "GTIDS =u:1"},
		{"a transaction", "\x04\x01\x00\x05\x09\x08T_______", "TRANSACTION_CHARACTERISTICS =|TRANSACTION_STATE =T_______"},
		{"a kind of the future", "\x63\x02xy\x01\x02\x01s", "kind99 =xy|SCHEMA =s"},
		{"an entry longer than the state", "\x01\x02\x01s\x01\x09\x04shop", "SCHEMA =s|malformed"},
		{"a string longer than its entry", "\x01\x02\x09s\x01\x02\x01s", "malformed"},
		{"a variable without a value", "\x00\x02\x01a\x01\x02\x01s", "malformed"},
		{"a kind and nothing more", "\x01", "malformed"},
		{"GTIDs without a set", "\x03\x00", "malformed"},
	} {
		var got []string
		changes, err := changesOf([]byte(c.state))
		for _, x := range changes {
			got = append(got, fmt.Sprintf("%v %s=%s", x.Kind, x.Name, x.Value))
		}
		if err != nil {
			got = append(got, "malformed")
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%s: got %q, want %q", c.name, s, c.want)
		}
	}
}

func TestSessionChangesAtEveryCut(t *testing.T) {
	state := []byte("\x00\x0f\x0aautocommit\x03OFF")
	everyCut(t, state, 0, func(b []byte) error { _, err := changesOf(b); return err })
	for n := 1; n < len(state); n++ {
		if changes, err := changesOf(state[:n:n]); err == nil || len(changes) > 0 {
			t.Errorf("%d bytes: %v, %v, want ErrMalformed", n, changes, err)
		}
	}
}

func TestSessionChangesDoNotAllocate(t *testing.T) {
	state := []byte("\x00\x08\x01a\x011\x01b\x012\x01\x05\x04shop\x05\x09\x08T_______")
	dst := make([]byte, 0, 128)
	noAllocs(t, "Next", func() {
		it := SessionChangesOf(state)
		for c, ok := it.Next(); ok; c, ok = it.Next() {
			dst = c.Append(dst[:0])
		}
	})
}

func FuzzSessionChanges(f *testing.F) { // property: what Append writes says the same
	f.Add([]byte("\x00\x0f\x0aautocommit\x03OFF\x03\x05\x00\x03u:1"))
	for _, c := range conversations(f) {
		for _, s := range c.packets {
			if o, err := ParseOK(s.pkt.Payload(), CapSessionTrack); err == nil && len(o.SessionState) > 0 {
				f.Add(o.SessionState)
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		changes, _ := changesOf(in)
		var out []byte
		for i := range changes {
			out = changes[i].Append(out)
		}
		again, err := changesOf(out)
		if err != nil || len(again) != len(changes) {
			t.Fatalf("%x has %d changes, written again %x has %d, %v", in, len(changes), out, len(again), err)
		}
		for i, a := range again {
			if c := changes[i]; c.Kind != a.Kind || !bytes.Equal(c.Name, a.Name) || !bytes.Equal(c.Value, a.Value) {
				t.Fatalf("change %d is %+v, written again %+v", i, c, a)
			}
		}
	})
}
