package luahooks

import (
	"slices"
	"testing"

	"mysqlproxy/engine/hook"
)

// TestConnection has what can be read and written through proxy.connection.
func TestConnection(t *testing.T) {
	w := newWorld(t, "", nil)
	for body, want := range map[string]string{
		`print(proxy.connection.backend_ndx)`:                                                        "1",
		`print(proxy.connection.connection_close, proxy.connection.x)`:                               "nil\tnil",
		`print(pcall(function() return proxy.connection.default_db end))`:                            "client.default_db",
		`print(pcall(function() return proxy.connection.thread_id end))`:                             "server.thread_id",
		`print(pcall(function() return proxy.connection.mysqld_version end))`:                        "server.mysqld_version",
		`print(pcall(function() proxy.connection.server = nil end))`:                                 "proxy.connection.server is not writable",
		`print(pcall(function() proxy.connection.backend_ndx = nil end))`:                            "number expected",
		`print(pcall(function() proxy.connection.backend_ndx = {} end))`:                             "number expected",
		`print(pcall(function() proxy.connection.connection_close = 1 end))`:                         "boolean expected",
		`print(pcall(function() proxy.connection.connection_close = nil end))`:                       "boolean expected",
		`local c = proxy.connection.client print(c.username, #c.scrambled_password)`:                 "app\t7",
		`local c = proxy.connection.client print(c.default_db, c.auth_plugin_name)`:                  "shop\tmysql_native_password",
		`local c = proxy.connection.client print(c.mysqld_version, c.thread_id)`:                     "50144\t99",
		`print(#proxy.connection.client.scramble_buffer)`:                                            "20",
		`print(#proxy.connection.server.scramble_buffer)`:                                            "21",
		`print(proxy.connection.server.default_db, proxy.connection.server.thread_id)`:               "other\t7",
		`print(proxy.connection.server.auth_plugin_name == "")`:                                      "true",
		`print(pcall(function() return proxy.connection.client.address end))`:                        "use .src.name or .dst.name",
		`print(pcall(function() proxy.connection.client.username = "x" end))`:                        "false",
		`print(proxy.connection.client == proxy.connection.client)`:                                  "true",
		`local a = proxy.connection.client.src print(a.name, a.address, a.port, a.type, a.x)`:        "192.0.2.7:51234\t192.0.2.7\t51234\t2\tnil",
		`local a = proxy.connection.client.dst print(a.name, a.address, a.port, a.type)`:             "[::1]:4040\t::1\t4040\t10",
		`local a = proxy.connection.server.dst print(a.name, a.address, a.port, a.type)`:             "/run/mysqld.sock\t/run/mysqld.sock\tnil\t1",
		`local a = proxy.connection.server.src print(a.name == "", a.address == "", a.port, a.type)`: "true\ttrue\tnil\t1",
		`print(proxy.PROXY_VERSION, proxy.PROXY_VERSION == 1 * 65536 + 2 * 256 + 3)`:                 "66051\ttrue",
		`print(proxy.socket, proxy.VERSION, proxy.tokenize)`:                                         "nil\tnil\tnil",
		`print(proxy == _G.proxy, __proxy.connection == proxy.connection)`:                           "true\ttrue",
		`proxy.mine = 1 print(proxy.mine, __proxy.mine, rawget(proxy, "mine"))`:                      "1\t1\tnil",
		`print(_VERSION)`: "Lua 5.1",
	} {
		got, _ := w.query(t, body)
		contains(t, body, got, want)
	}
	if got := w.log.all(); got != nil {
		t.Errorf("logs %q", got)
	}
}

func TestWhatIsNotKnownYetIsNilAndLogged(t *testing.T) {
	for field, want := range map[string]string{
		"client.username": "nil", "client.scrambled_password": "nil", "client.mysqld_version": "nil",
		"client.thread_id": "nil", "client.scramble_buffer": "nil", "client.auth_plugin_name": "nil",
		"client.character_set": "nil", "client.default_db": "", "server": "nil",
	} {
		w := newWorld(t, "function connect_server() print(proxy.connection."+field+") end", nil)
		s := w.scripts.Open(&session{})
		s.ConnectServer()
		if got := w.stdout.String(); got != want+"\n" {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
		if want == "nil" && field != "server" {
			w.log.has(t, "ERROR proxy.connection."+field+" does not exist")
		} else if got := w.log.all(); got != nil {
			t.Errorf("%s: logs %q", field, got)
		}
	}
}

func TestAssigningBackendIndex(t *testing.T) {
	w := newWorld(t, `
		function read_query()
			local c = proxy.connection
			local old = c.server
			c.backend_ndx = 0
			print(c.backend_ndx, c.server, old.default_db)
			c.backend_ndx = "2"
			print(c.backend_ndx, c.server.thread_id, old.thread_id)
			c.backend_ndx = 7.9
			print(c.backend_ndx)
			c.connection_close = true
		end`, nil)
	s, session := w.open()
	session.idle = map[int]*hook.Endpoint{2: {Greeted: true, ThreadID: 222}}
	s.ReadQuery(nil)
	if got := w.stdout.String(); got != "0\tnil\tother\n2\t222\t7\n7\n" {
		t.Errorf("prints %q; log %q", got, w.log.all())
	}
	if !slices.Equal(session.setBackendWith, []int{0, 2, 7}) || !session.closeAfter {
		t.Errorf("the session was told %v, %v", session.setBackendWith, session.closeAfter)
	}
}

func TestConstants(t *testing.T) {
	w := newWorld(t, "", nil)
	for name, want := range map[string]string{
		"PROXY_SEND_QUERY": "1", "PROXY_SEND_RESULT": "2", "PROXY_IGNORE_RESULT": "4",
		"MYSQLD_PACKET_OK": "0", "MYSQLD_PACKET_RAW": "250", "MYSQLD_PACKET_EOF": "254", "MYSQLD_PACKET_ERR": "255",
		"BACKEND_STATE_UNKNOWN": "0", "BACKEND_STATE_UP": "1", "BACKEND_STATE_DOWN": "2",
		"BACKEND_TYPE_UNKNOWN": "0", "BACKEND_TYPE_RW": "1", "BACKEND_TYPE_RO": "2",
		"COM_SLEEP": "0", "COM_QUIT": "1", "COM_INIT_DB": "2", "COM_QUERY": "3", "COM_FIELD_LIST": "4",
		"COM_SHUTDOWN": "8", "COM_PROCESS_INFO": "10", "COM_PROCESS_KILL": "12", "COM_PING": "14", "COM_TIME": "15",
		"COM_DELAYED_INSERT": "16", "COM_CHANGE_USER": "17", "COM_BINLOG_DUMP": "18", "COM_REGISTER_SLAVE": "21",
		"COM_STMT_PREPARE": "22", "COM_STMT_EXECUTE": "23", "COM_STMT_SEND_LONG_DATA": "24", "COM_STMT_CLOSE": "25",
		"COM_STMT_RESET": "26", "COM_SET_OPTION": "27", "COM_STMT_FETCH": "28", "COM_DAEMON": "29",
		"COM_BINLOG_DUMP_GTID": "30", "COM_RESET_CONNECTION": "31",
		"MYSQL_TYPE_DECIMAL": "0", "MYSQL_TYPE_LONGLONG": "8", "MYSQL_TYPE_INT24": "9", "MYSQL_TYPE_NEWDATE": "14",
		"MYSQL_TYPE_VARCHAR": "nil", "MYSQL_TYPE_BIT": "16", "MYSQL_TYPE_NEWDECIMAL": "246", "MYSQL_TYPE_ENUM": "247",
		"MYSQL_TYPE_TINY_BLOB": "249", "MYSQL_TYPE_BLOB": "252", "MYSQL_TYPE_STRING": "254", "MYSQL_TYPE_GEOMETRY": "255",
		"PROXY_NO_DECISION": "nil",
	} {
		if got, _ := w.query(t, "print(proxy."+name+")"); got != want {
			t.Errorf("proxy.%s is %s, want %s", name, got, want)
		}
	}
}
