package packet

import "testing"

func TestExpectReadsTheFirstBytesOfACommand(t *testing.T) {
	execute := func(flags byte) []byte { return []byte{0x17, 1, 0, 0, 0, flags, 1, 0, 0, 0} }
	for _, c := range []struct {
		name    string
		payload []byte
		need    int // bytes of the payload without which nothing can be said
		want    Request
	}{
		{"a query", []byte("\x03select 1"), 1, Request{Command: ComQuery}},
		{"one byte", []byte{0x0e}, 1, Request{Command: ComPing}},
		{"no payload", nil, 0, Request{Command: ComSleep}},
		{"unknown", []byte{0xee, 1, 2}, 1, Request{Command: 0xee}},
		{"execute", execute(0), 6, Request{Command: ComStmtExecute}},
		{"read-only cursor", execute(1), 6, Request{ComStmtExecute, true}},
		{"cursor for update", execute(2), 6, Request{ComStmtExecute, true}},
		{"scrollable cursor", execute(4), 6, Request{ComStmtExecute, true}},
		{"query attributes are no cursor", execute(8), 6, Request{Command: ComStmtExecute}},
		{"query attributes and a cursor", execute(9), 6, Request{ComStmtExecute, true}},
		{"execute without flags", []byte{0x17, 1, 0, 0, 0}, 1, Request{Command: ComStmtExecute}},
		{"bulk execute has other flags", []byte{0xfa, 1, 0, 0, 0, 0xc1, 0}, 1, Request{Command: ComStmtBulkExecute}},
	} {
		n := len(c.payload)
		next := append(append([]byte{}, c.payload...), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff) // another packet
		for have := range len(next) + 1 {
			q, ok := Expect(next[:have:have], n)
			switch {
			case ok != (have >= c.need):
				t.Errorf("%s: %d of %d bytes: ok is %v", c.name, have, n, ok)
			case ok && q != c.want:
				t.Errorf("%s: %d of %d bytes: %v, want %v", c.name, have, n, q, c.want)
			}
		}
	}
}

func TestCommandsWithoutAResponse(t *testing.T) {
	for i := range 256 {
		c := Command(i)
		want := c != ComQuit && c != ComStmtClose && c != ComStmtSendLongData
		if c.HasResponse() != want {
			t.Errorf("%v has a response: %v, want %v", c, c.HasResponse(), want)
		}
	}
}

func TestCommandsThatStream(t *testing.T) {
	want := map[Command]bool{ComBinlogDump: true, ComBinlogDumpGTID: true, ComTableDump: true, ComClone: true, ComSubscribe: true}
	for i := range 256 {
		if c := Command(i); c.Streams() != want[c] {
			t.Errorf("%v streams: %v, want %v", c, c.Streams(), want[c])
		}
	}
}

func TestCommandNames(t *testing.T) {
	for c, want := range map[Command]string{
		ComSleep: "COM_SLEEP", ComQuery: "COM_QUERY", ComResetConnection: "COM_RESET_CONNECTION",
		ComStmtBulkExecute: "COM_STMT_BULK_EXECUTE", 0xfe: "COM_0xfe", 0x22: "COM_0x22",
	} {
		if got := c.String(); got != want {
			t.Errorf("command %#x is called %q, want %q", byte(c), got, want)
		}
	}
}
