package packet

import "testing"

func TestQueryText(t *testing.T) {
	const attrs = CapQueryAttributes
	for _, tc := range []struct {
		name    string
		payload string
		caps    Capability
		want    string
		ok      bool
	}{
		{"without the capability", "\x03SELECT 1", 0, "SELECT 1", true},
		{"no attributes", "\x03\x00\x01SELECT 1", attrs, "SELECT 1", true},
		{"one string", "\x03\x01\x01\x00\x01\xfe\x00\x01a\x03xyzSELECT 1", attrs, "SELECT 1", true},
		{"a NULL and a number", "\x03\x02\x01\x01\x01\x06\x00\x01a\x08\x00\x01b\x07\x00\x00\x00\x00\x00\x00\x00DO 1", attrs, "DO 1", true},
		{"no text", "\x03\x00\x01", attrs, "", true},
		{"nothing at all", "", attrs, "", false},
		{"cut in the count", "\x03\xfc", attrs, "", false},
		{"cut in the names", "\x03\x01\x01\x00\x01\xfe\x00\x05a", attrs, "", false},
		{"cut in a value", "\x03\x01\x01\x00\x01\xfe\x00\x01a\x09xyz", attrs, "", false},
		{"too many", "\x03\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x01", attrs, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := QueryText([]byte(tc.payload), tc.caps)
			if ok != tc.ok || ok && string(got) != tc.want {
				t.Errorf("got %q %v, want %q %v", got, ok, tc.want, tc.ok)
			}
		})
	}
}

func FuzzQueryText(f *testing.F) {
	f.Add([]byte("\x03\x01\x01\x00\x01\xfe\x00\x01a\x03xyzSELECT 1"))
	f.Fuzz(func(t *testing.T, p []byte) {
		if text, ok := QueryText(p, CapQueryAttributes); ok && len(text) >= len(p) {
			t.Errorf("%d bytes of text in a payload of %d", len(text), len(p))
		}
	})
}
