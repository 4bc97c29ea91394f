package luahooks

import (
	"strings"
	"testing"

	"mysqlproxy/engine/hook"
)

// ask runs a command through a script that answers it, and returns the answer's
// packets as one string.
func ask(t *testing.T, s *script, packet string) string {
	t.Helper()
	v := s.ReadQuery([]byte(packet))
	if v.Action != hook.SendResult {
		t.Fatalf("%q: action %d, want an answer", packet, v.Action)
	}
	var b strings.Builder
	for _, p := range v.Response {
		b.Write(p)
	}
	return b.String()
}

// TestModulesInHooks uses the modules as scripts do, within a session: shared
// modules see the session whose hook runs.
func TestModulesInHooks(t *testing.T) {
	w := newWorld(t, `
		local tokenizer = require("proxy.tokenizer")
		local parser = require("proxy.parser")
		local commands = require("proxy.commands")
		local balance = require("proxy.balance")
		local auto = require("proxy.auto-config")
		local proto = require("mysql.proto")
		proxy.global.config.test = proxy.global.config.test or { level = 1 }

		function read_query(packet)
			local cmd = commands.parse(packet)
			local r = proxy.global.config:handle(cmd)
			if r then
				return r
			end
			local tokens = tokenizer.tokenize(cmd.query)
			local out = { tokenizer.normalize(tokens), tokens[1].token_name }
			for name, kind in pairs(parser.get_tables(tokens)) do
				out[#out + 1] = name .. ":" .. kind
			end
			out[#out + 1] = balance.idle_failsafe_rw() + balance.idle_ro()
			proxy.response = {
				type = proxy.MYSQLD_PACKET_RAW,
				packets = { proto.to_err_packet({ errmsg = table.concat(out, "|") }) },
			}
			return proxy.PROXY_SEND_RESULT
		end`, nil)
	first, client1 := w.open()
	second, client2 := w.open()
	client1.client.DefaultDB, client2.client.DefaultDB = "one", "two"
	for s, db := range map[*script]string{first: "one", second: "two"} {
		got := ask(t, s, "\x03SELECT a FROM t WHERE b = 'x'")
		if want := "SELECT `a` FROM `t` WHERE `b` = ? |TK_SQL_SELECT|" + db + ".t:read|"; !strings.Contains(got, want) {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	if got := ask(t, first, "\x03PROXY SET GLOBAL test.level = 7"); got[:2] != "\x00\x01" {
		t.Errorf("SET: %q, want an OK for one row", got)
	}
	if got := ask(t, second, "\x03PROXY SHOW CONFIG"); !strings.Contains(got, "\x04test\x05level\x017\x06number") {
		t.Errorf("SHOW: %q, want level 7, which the other session has set", got)
	}
	if got := w.log.all(); got != nil {
		t.Errorf("logs %q", got)
	}
}

// TestAdminScriptInAWorld runs admin.lua as the admin plugin does.
func TestAdminScriptInAWorld(t *testing.T) {
	text, err := luaFiles.ReadFile("lua/admin.lua")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, string(text), nil)
	s, _ := w.open()
	got := ask(t, s, "\x03SELECT * FROM backends")
	for i := range w.scripts.opts.Global.Backends() {
		if row := "\x01" + string(rune('1'+i)); !strings.Contains(got, row) {
			t.Errorf("%q lacks the row of backend %d", got, i+1)
		}
	}
	if got := ask(t, s, "\x0e"); got[0] != 0xff || !strings.Contains(got, "we only handle text-based queries") {
		t.Errorf("COM_PING: %q", got)
	}
}

// TestChassisInAWorld: the process is what Options say it is.
func TestChassisInAWorld(t *testing.T) {
	asked := false
	w := newWorld(t, `
		function read_query()
			chassis.set_shutdown()
			print("from a hook")
		end
		require("chassis")`, func(o *Options) { o.Shutdown = func() { asked = true } })
	s, _ := w.open()
	s.ReadQuery([]byte("\x01"))
	if !asked {
		t.Error("no shutdown")
	}
	if got := strings.Join(w.log.all(), "\n"); !strings.Contains(got, "from a hook") || strings.Contains(got, "[string") || w.stdout.Len() != 0 {
		t.Errorf("logs %q, prints %q", got, w.stdout.String())
	}
}
