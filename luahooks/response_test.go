package luahooks

import (
	"slices"
	"strings"
	"testing"

	"mysqlproxy/engine/hook"
	"mysqlproxy/packet"
)

func TestResponses(t *testing.T) {
	const failed = erroneous + failedResponse
	long := strings.Repeat("m", 600)
	for _, tc := range []struct {
		name, response string
		want           []string
	}{
		{"OK", `{ type = 0 }`, []string{"\x00\x00\x00\x02\x00\x00\x00"}},
		{"OK with numbers", `{ type = 0, affected_rows = 3, insert_id = "300" }`,
			[]string{"\x00\x03\xfc\x2c\x01\x02\x00\x00\x00"}},
		{"OK with what are no numbers", `{ type = 0, affected_rows = "x", insert_id = {} }`,
			[]string{"\x00\x00\x00\x02\x00\x00\x00"}},
		{"OK with a number below zero", `{ type = 0, affected_rows = -1 }`, []string{"\x00\x00\x00\x02\x00\x00\x00"}},
		{"OK with a resultset that is no table", `{ type = 0, resultset = 1 }`, []string{"\x00\x00\x00\x02\x00\x00\x00"}},
		{"type as string", `{ type = "0" }`, []string{"\x00\x00\x00\x02\x00\x00\x00"}},

		{"ERR", `{ type = 255, errmsg = "no" }`, []string{erroneous + "no"}},
		{"ERR with code and state", `{ type = 255, errmsg = "no", errcode = 1045, sqlstate = "28000" }`,
			[]string{"\xff\x15\x04#28000no"}},
		{"ERR with a code in a string", `{ type = 255, errmsg = "no", errcode = "1045" }`, []string{"\xff\x15\x04#07000no"}},
		{"ERR with a code of 17 bits", `{ type = 255, errmsg = "no", errcode = 65537 }`, []string{"\xff\x01\x00#07000no"}},
		{"ERR with a code that is none", `{ type = 255, errmsg = "no", errcode = {} }`, []string{erroneous + "no"}},
		{"ERR without message", `{ type = 255, errcode = 1045 }`, []string{erroneous + "(lua) proxy.response.errmsg is nil"}},
		{"ERR with a message that is none", `{ type = 255, errmsg = {} }`, []string{erroneous + noMessage}},
		{"ERR with a number for a message", `{ type = 255, errmsg = 1.5 }`, []string{erroneous + "1.5"}},
		{"ERR with a long message", `{ type = 255, errmsg = ("m"):rep(600) }`, []string{erroneous + long[:512]}},
		{"ERR with NUL", `{ type = 255, errmsg = "a\0b" }`, []string{erroneous + "a\x00b"}},
		{"ERR with a short state", `{ type = 255, errmsg = "no", sqlstate = "HY" }`, []string{"\xff\x51\x04#HY000no"}},
		{"ERR with a long state", `{ type = 255, errmsg = "no", sqlstate = "HY0001" }`, []string{"\xff\x51\x04#HY000no"}},
		{"ERR with an empty state", `{ type = 255, errmsg = "no", sqlstate = "" }`, []string{erroneous + "no"}},
		{"ERR with errno", `{ type = 255, errmsg = "no", errno = 7 }`, []string{erroneous + "no"}},

		{"raw", `{ type = 250, packets = { "\255\0a", "", 12, nil, "not sent" } }`, []string{"\xff\x00a", "", "12"}},
		{"raw without packets", `{ type = 250, packets = {} }`, nil},
		{"raw without table", `{ type = 250 }`, []string{failed}},
		{"raw with a table for a packet", `{ type = 250, packets = { "x", {} } }`, []string{failed}},
		{"raw with a boolean for a packet", `{ type = 250, packets = { true } }`, []string{failed}},

		{"no type", `{}`, []string{failed}},
		{"type of another kind", `{ type = true }`, []string{failed}},
		{"unknown type", `{ type = 254 }`, []string{failed}},
		{"no table", `nil`, []string{failed}},
		{"a string", `"OK"`, []string{failed}},

		{"no fields", `{ type = 0, resultset = { rows = {} } }`, []string{failed}},
		{"empty fields", `{ type = 0, resultset = { fields = {}, rows = {} } }`, []string{failed}},
		{"no rows", `{ type = 0, resultset = { fields = { { name = "a", type = 254 } } } }`, []string{failed}},
		{"field that is no table", `{ type = 0, resultset = { fields = { 1 }, rows = {} } }`, []string{failed}},
		{"row that is no table", `{ type = 0, resultset = { fields = { { name = "a", type = 3 } }, rows = { 1 } } }`, []string{failed}},
	} {
		w := newWorld(t, "", nil)
		_, v := w.query(t, "proxy.response = "+tc.response+" return proxy.PROXY_SEND_RESULT")
		if got := shown(v); v.Action != hook.SendResult || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %d %q, want %q", tc.name, v.Action, got, tc.want)
		}
		if len(tc.want) > 0 && tc.want[0] == failed {
			w.log.has(t, levelMessage.String()+" proxy.response")
		}
	}
}

const endOfRows = "\xfe\x00\x00\x02\x00"

func TestResultsetOnTheWire(t *testing.T) {
	w := newWorld(t, "", nil)
	_, v := w.query(t, `
		proxy.response.type = proxy.MYSQLD_PACKET_OK
		proxy.response.resultset = {
			fields = { { name = "id", type = proxy.MYSQL_TYPE_LONG }, { name = "a", type = "253" } },
			rows = { { 1, "x" }, nil, { "not sent" } },
		}
		return proxy.PROXY_SEND_RESULT`)
	column := func(name, kind string) string {
		return "\x03def\x00\x00\x00" + string(rune(len(name))) + name + "\x00\x0c\x08\x00\x20\x00\x00\x00" + kind + "\x02\x00\x00\x00\x00"
	}
	want := []string{"\x02", column("id", "\x03"), column("a", "\xfd"), endOfRows, "\x011\x01x", endOfRows}
	if got := shown(v); !slices.Equal(got, want) {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	if got := w.log.all(); got != nil {
		t.Errorf("logs %q", got)
	}
}

func TestCells(t *testing.T) {
	w := newWorld(t, "", nil)
	for _, tc := range []struct{ row, want string }{
		{`{}`, "\xfb\xfb"},
		{`{ nil, "b" }`, "\xfb\x01b"},
		{`{ "", 0 }`, "\x00\x010"},
		{`{ "a\0b", "\251" }`, "\x03a\x00b\x01\xfb"},
		{`{ 0.1, 2^53 }`, "\x030.1\x129.007199254741e+15"},
		{`{ true, false }`, "\xfb\xfb"},
		{`{ {}, print }`, "\xfb\xfb"},
		{`{ 1, 2, 3 }`, "\x011\x012"},
	} {
		_, v := w.query(t, `proxy.response = { type = 0, resultset = {
			fields = { { name = "a", type = 3 }, { name = "b", type = 3 } }, rows = { `+tc.row+` } } }
			return proxy.PROXY_SEND_RESULT`)
		if got := shown(v); len(got) != 6 || got[4] != tc.want {
			t.Errorf("%s: %q, want %q", tc.row, got, tc.want)
		}
	}
}

func TestFieldsWithoutNameOrType(t *testing.T) {
	w := newWorld(t, "", nil)
	_, v := w.query(t, `proxy.response = { type = 0, resultset = { fields = { {}, { name = 7, type = true } }, rows = {} } }
		return proxy.PROXY_SEND_RESULT`)
	got := shown(v)
	if len(got) != 5 {
		t.Fatalf("%d payloads", len(got))
	}
	for i, want := range []string{"no-field-name", "7"} {
		c, err := packet.ParseColumn([]byte(got[1+i]), classic)
		if err != nil || string(c.Name) != want || c.Type != packet.TypeString {
			t.Errorf("field %d is %q of type %v (%v), want %q of STRING", i+1, c.Name, c.Type, err, want)
		}
	}
	w.log.has(t, "WARN", "fields[1].name")
	w.log.has(t, "WARN", "fields[1].type")
	w.log.has(t, "WARN", "fields[2].type")
}

func TestResponseMayNotRunCode(t *testing.T) {
	w := newWorld(t, "", nil)
	_, v := w.query(t, `proxy.response = setmetatable({}, { __index = function() error("called") end })
		return proxy.PROXY_SEND_RESULT`)
	if got := shown(v); len(got) != 1 || got[0] != erroneous+failedResponse {
		t.Errorf("answers %q", got)
	}
}

func TestPayloadsMayBeKeptAndAppendedTo(t *testing.T) {
	w := newWorld(t, "", nil)
	_, v := w.query(t, `proxy.response = { type = 250, packets = { "a", "b" } } return proxy.PROXY_SEND_RESULT`)
	_ = append(v.Response[0], 'x')
	if got := shown(v); got[1] != "b" {
		t.Errorf("the second payload is %q", got[1])
	}
}
