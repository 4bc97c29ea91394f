package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	var clean []byte
	for i := range len(s) {
		if s[i] != ' ' {
			clean = append(clean, s[i])
		}
	}
	b, err := hex.DecodeString(string(clean))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// executions are payloads, those of MariaDB's clients taken from the captures in
// testdata.
var executions = []struct {
	name, payload        string
	params               int
	caps                 Capability
	want                 Execute // without its slices
	nulls, types, values string
}{
	{"go-sql-driver, a BIGINT", "17 03000000 00 01000000 00 01 0800 0000000000000000", 1, 0,
		Execute{Statement: 3, Iterations: 1, Params: 1, HasTypes: true}, "00", "0800", "0000000000000000"},
	{"DBD::mysql, a string", "17 02000000 00 01000000 00 01 fe00 01 30", 1, 0,
		Execute{Statement: 2, Iterations: 1, Params: 1, HasTypes: true}, "00", "fe00", "0130"},
	{"DBD::mysql, the second time", "17 02000000 00 01000000 00 00 01 38", 1, 0,
		Execute{Statement: 2, Iterations: 1, Params: 1}, "00", "", "0138"},
	{"no parameters", "17 01000000 00 01000000", 0, 0, Execute{Statement: 1, Iterations: 1}, "", "", ""},
	{"a cursor", "17 01000000 01 01000000", 0, 0, Execute{Statement: 1, Flags: 1, Iterations: 1}, "", "", ""},
	{"the last statement, nine parameters, all NULL", "17 ffffffff 00 01000000 ff01 01 0300 0300 0300 0300 0300 0300 0300 0300 0380", 9, 0,
		Execute{Statement: ExecuteLast, Iterations: 1, Params: 9, HasTypes: true}, "ff01", "030003000300030003000300030003000380", ""},
	{"query attributes in force, a parameter", "17 04000000 08 01000000 01 00 01 fe00 00 05 61646d696e", 1, CapQueryAttributes,
		Execute{Statement: 4, Flags: 8, Iterations: 1, Params: 1, HasTypes: true}, "00", "fe0000", "0561646d696e"},
	{"query attributes in force, without types", "17 04000000 08 01000000 01 00 00 05 61646d696e", 1, CapQueryAttributes,
		Execute{Statement: 4, Flags: 8, Iterations: 1, Params: 1}, "00", "", "0561646d696e"},
	{"query attributes in force, no parameter", "17 04000000 08 01000000 00", 0, CapQueryAttributes,
		Execute{Statement: 4, Flags: 8, Iterations: 1}, "", "", ""},
	{"query attributes in force and not a word of them", "17 04000000 00 01000000", 0, CapQueryAttributes,
		Execute{Statement: 4, Iterations: 1}, "", "", ""},
	{"a query attribute", "17 04000000 08 01000000 02 00 01 0300 00 fe00 0474726163 07000000 0161", 1, CapQueryAttributes,
		Execute{Statement: 4, Flags: 8, Iterations: 1, Params: 2, HasTypes: true}, "00", "030000fe000474726163", "070000000161"},
	{"more than there should be", "17 01000000 00 01000000 00 01", 0, 0, Execute{Statement: 1, Iterations: 1}, "", "", "0001"},
}

func TestExecuteIsReadAndWritten(t *testing.T) {
	for _, tc := range executions {
		t.Run(tc.name, func(t *testing.T) {
			payload := unhex(t, tc.payload)
			e, err := ParseExecute(payload, tc.params, tc.caps)
			if err != nil {
				t.Fatal(err)
			}
			got := e
			got.Nulls, got.Types, got.Values = nil, nil, nil
			if hex.EncodeToString(e.Nulls) != tc.nulls || hex.EncodeToString(e.Types) != tc.types || hex.EncodeToString(e.Values) != tc.values ||
				got.Statement != tc.want.Statement || got.Flags != tc.want.Flags || got.Iterations != tc.want.Iterations || got.Params != tc.want.Params || got.HasTypes != tc.want.HasTypes {
				t.Errorf("got %+v, nulls %x, types %x, values %x", got, e.Nulls, e.Types, e.Values)
			}
			if again := e.Append(nil, tc.caps); !bytes.Equal(again, payload) {
				t.Errorf("written again it is\n%x, want\n%x", again, payload)
			}
			for n := range len(payload) - len(e.Values) {
				if _, err := ParseExecute(payload[:n:n], tc.params, tc.caps); !errors.Is(err, ErrMalformed) && (n < 10 || tc.params > 0) {
					t.Errorf("%d of its bytes: error %v, want ErrMalformed", n, err)
				}
			}
			for n := range len(payload) + 1 {
				has, ok := ExecuteHasTypes(payload[:n:n], len(payload), tc.params, tc.caps)
				if ok && has != e.HasTypes || !ok && n == len(payload) {
					t.Errorf("%d of its bytes: types %v, %v, want %v", n, has, ok, e.HasTypes)
				}
			}
		})
	}
}

func TestExecuteRefuses(t *testing.T) {
	for _, tc := range []struct {
		name, payload string
		params        int
		caps          Capability
	}{
		{"nothing", "", 0, 0},
		{"another command", "18 01000000 00 01000000", 0, 0},
		{"no iterations", "17 01000000 00 010000", 0, 0},
		{"half of the nulls", "17 01000000 00 01000000 00", 9, 0},
		{"no word of types", "17 01000000 00 01000000 00", 1, 0},
		{"half a type", "17 01000000 00 01000000 00 01 03", 1, 0},
		{"a name that is too long", "17 01000000 08 01000000 01 00 01 0300 05 61", 1, CapQueryAttributes},
		{"a name that is NULL", "17 01000000 08 01000000 01 00 01 0300 fb", 1, CapQueryAttributes},
		{"more parameters than there can be", "17 01000000 08 01000000 fd000001 00", 1, CapQueryAttributes},
		{"a number that is NULL", "17 01000000 08 01000000 fb", 1, CapQueryAttributes},
		{"no number where there should be one", "17 01000000 00 01000000 01 00 01 fe00 00 0161", 1, CapQueryAttributes},
	} {
		t.Run(tc.name, func(t *testing.T) {
			payload := unhex(t, tc.payload)
			if e, err := ParseExecute(payload, tc.params, tc.caps); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %+v, %v, want ErrMalformed", e, err)
			}
			if _, ok := ExecuteHasTypes(payload, len(payload), tc.params, tc.caps); !ok {
				t.Error("there is more to wait for")
			}
		})
	}
}

// What the client has left out is put in, and the id is another.
func TestExecuteWithTypesThatWereLeftOut(t *testing.T) {
	e, err := ParseExecute(unhex(t, "17 02000000 00 01000000 00 00 01 38"), 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.Statement, e.HasTypes, e.Types = 77, true, []byte{0xfe, 0}
	if got, want := e.Append(nil, 0), unhex(t, "17 4d000000 00 01000000 00 01 fe00 01 38"); !bytes.Equal(got, want) {
		t.Errorf("got\n%x, want\n%x", got, want)
	}
	noAllocs(t, "Append", func() { sinkBytes = e.Append(sinkBytes[:0], 0) })
}

var sinkBytes = make([]byte, 0, 64)

// Whatever is taken is the same when it is written and read again, and its parts
// are within it.
func FuzzParseExecute(f *testing.F) {
	for _, tc := range executions {
		f.Add(unhex(f, tc.payload), uint16(tc.params), tc.caps != 0)
	}
	f.Fuzz(func(t *testing.T, payload []byte, params uint16, attributes bool) {
		var caps Capability
		if attributes {
			caps = CapQueryAttributes
		}
		has, ok := ExecuteHasTypes(payload, len(payload), int(params), caps)
		if !ok {
			t.Fatalf("of all of %x it cannot be told whether there are types", payload)
		}
		e, err := ParseExecute(payload, int(params), caps)
		if err != nil {
			return
		}
		if has != e.HasTypes {
			t.Fatalf("types: %v and %v", has, e.HasTypes)
		}
		if n := len(e.Nulls) + len(e.Types) + len(e.Values); n > len(payload) {
			t.Fatalf("%d bytes of %d", n, len(payload))
		}
		again := e.Append(nil, caps)
		e2, err := ParseExecute(again, int(params), caps)
		if err != nil || e2.Params != e.Params || e2.HasTypes != e.HasTypes || e2.Statement != e.Statement || e2.Flags != e.Flags || e2.Iterations != e.Iterations ||
			!bytes.Equal(e2.Nulls, e.Nulls) || !bytes.Equal(e2.Types, e.Types) || !bytes.Equal(e2.Values, e.Values) {
			t.Fatalf("%x is %+v, written again %x is %+v, %v", payload, e, again, e2, err)
		}
	})
}
