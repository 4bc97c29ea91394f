package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// split cuts a stream into payloads and fails where lengths or ids do not fit.
func split(t *testing.T, b []byte, seq byte) [][]byte {
	t.Helper()
	var out [][]byte
	for len(b) > 0 {
		if len(b) < HeaderLen || len(b) < HeaderLen+PayloadLen(b) {
			t.Fatalf("packet %d: %d bytes left, header % x", len(out), len(b), b[:min(4, len(b))])
		}
		if b[3] != seq {
			t.Fatalf("packet %d has the sequence id %d, want %d", len(out), b[3], seq)
		}
		n := HeaderLen + PayloadLen(b)
		out, b, seq = append(out, b[HeaderLen:n]), b[n:], seq+1
	}
	return out
}

func TestAnswersAreFramedAndNumbered(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  []byte
		packets int
		last    string
	}{
		{"text, OK at the end", AppendTextResult(nil, 1, CapDeprecateEOF, 2, Canned), 4, "fe000002000000"},
		{"text, EOF at the end", AppendTextResult(nil, 1, 0, 2, Canned), 5, "fe00000200"},
		{"binary, OK at the end", AppendBinaryResult(nil, 1, CapDeprecateEOF, 2, Canned), 4, "fe000002000000"},
		{"binary, EOF at the end", AppendBinaryResult(nil, 1, 0, 3, Canned), 5, "fe00000300"},
		{"prepare with two parameters", AppendPrepareOK(nil, 1, 0, 2, 7, 2), 6, "fe00000200"},
		{"prepare without parameters", AppendPrepareOK(nil, 1, 0, 2, 7, 0), 3, "fe00000200"},
		{"prepare, no EOF", AppendPrepareOK(nil, 1, CapDeprecateEOF, 2, 7, 2), 4, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := split(t, tt.answer, 1)
			if len(p) != tt.packets {
				t.Errorf("got %d packets, want %d", len(p), tt.packets)
			}
			if got := hex.EncodeToString(p[len(p)-1]); tt.last != "" && got != tt.last {
				t.Errorf("last packet is %s, want %s", got, tt.last)
			}
		})
	}
}

func TestTemplateEchoesInsideTheRow(t *testing.T) {
	for _, tmpl := range []Template{TextTemplate(CapDeprecateEOF, 2), BinaryTemplate(0, 2)} {
		PutDigits(tmpl.Bytes[tmpl.Echo:], 12345)
		if !bytes.Contains(tmpl.Bytes, []byte("000012345"+CannedSuffix)) {
			t.Errorf("no echo in %q", tmpl.Bytes)
		}
		split(t, tmpl.Bytes, 1)
	}
}

func TestEchoOf(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1": "", "12345678": "", "x123456789": "123456789", "12345678x": "", "": "",
	} {
		if got := string(EchoOf([]byte(in))); got != want {
			t.Errorf("EchoOf(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestRowsAreWholePackets(t *testing.T) {
	for _, row := range []int{MinRow, 200, Fit(256), Fit(257), 258, 1021, 1024, MaxRow} {
		r, err := NewRows(row)
		if err != nil {
			t.Fatal(err)
		}
		for i, p := range split(t, r.Cycle, 0) {
			n, skip := int(p[0]), 1
			if p[0] == 0xfc {
				n, skip = int(p[1])|int(p[2])<<8, 3
			}
			if len(p) != row-HeaderLen || n != len(p)-skip {
				t.Fatalf("row %d of %d bytes: text of %d in a payload of %d", i, row, n, len(p))
			}
		}
		if len(r.Cycle) != 256*row {
			t.Errorf("cycle of %d bytes for rows of %d", len(r.Cycle), row)
		}
	}
}

func TestRowsRefuseLengthsTheyCannotMake(t *testing.T) {
	for _, row := range []int{-1, 0, MinRow - 1, MaxRow + 1, 256, 257} {
		if r, err := NewRows(row); err == nil {
			t.Errorf("NewRows(%d) made %d bytes, want an error", row, len(r.Cycle))
		}
	}
}

func TestRowsCount(t *testing.T) {
	r, err := NewRows(1000)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Count(2001); got != 3 {
		t.Errorf("Count(2001) = %d, want 3", got)
	}
	if got := r.Tail(3, 300); got != 303%256 {
		t.Errorf("Tail(3, 300) = %d, want %d", got, 303%256)
	}
}
