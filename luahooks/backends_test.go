package luahooks

import (
	"testing"

	"mysqlproxy/engine/hook"
)

func TestBackends(t *testing.T) {
	for body, want := range map[string]string{
		`print(#b, b[0], b[3], b[1] ~= nil, b["2"].type)`:                                "2\tnil\tnil\ttrue\t2",
		`print(pcall(function() return b.x end))`:                                        "number expected",
		`print(pcall(function() b[1] = nil end))`:                                        "not writable",
		`print(b[1] == b[1], b[1] == b[2])`:                                              "true\tfalse",
		`print(b[1].dst.name, b[1].dst.address, b[1].dst.port)`:                          "10.0.0.1:3306\t10.0.0.1\t3306",
		`print(b[2].dst.name, b[2].dst.type)`:                                            "10.0.0.2:3307\t2",
		`print(b[1].state, b[1].type, b[1].uuid, b[1].connected_clients)`:                "1\t1\tnil\t3",
		`print(b[2].state, b[2].type, b[2].uuid, b[2].connected_clients)`:                "0\t2\tu-2\t0",
		`print(b[1].address, b[1].idling_connections, b[1].x)`:                           "10.0.0.1:3306\t2\tnil",
		`b[1].state = "2" print(b[1].state)`:                                             "2",
		`b[1].uuid = "new" print(b[1].uuid) b[1].uuid = nil print(b[1].uuid)`:            "new\nnil",
		`print(pcall(function() b[1].state = nil end))`:                                  "number expected",
		`print(pcall(function() b[1].uuid = {} end))`:                                    "string expected",
		`print(pcall(function() b[1].dst = 1 end))`:                                      "dst is not writable",
		`local p = b[1].pool print(p.min_idle_connections, p.max_idle_connections, p.x)`: "0\t0\tnil",
		`local p = b[1].pool p.min_idle_connections = 4 p.max_idle_connections = "8" print(p.min_idle_connections, p.max_idle_connections)`: "4\t8",
		`print(pcall(function() b[1].pool.users = {} end))`:                                                "users is not writable",
		`print(pcall(function() b[1].pool.min_idle_connections = {} end))`:                                 "number expected",
		`local u = b[2].pool.users print(u[""].cur_idle_connections, u.app.cur_idle_connections, u.app.x)`: "5\t1\tnil",
		`print(b[2].pool.users[1].cur_idle_connections)`:                                                   "0",
		`print(proxy.backends == b, proxy.global.config ~= nil)`:                                           "true\ttrue",
	} {
		w := newWorld(t, "", nil)
		got, _ := w.query(t, "local b = proxy.global.backends\n"+body)
		contains(t, body, got, want)
	}
}

func TestBackendsAreTheConfiguredOnesNow(t *testing.T) {
	list := &struct{ global }{twoBackends()}
	w := newWorld(t, "", func(o *Options) { o.Global = list })
	w.write(t, `function read_query() print(#proxy.global.backends, proxy.global.backends[1].type) end`)
	s, _ := w.open()
	s.ReadQuery(nil)
	list.global = global{list.global[1]}
	s.ReadQuery(nil)
	if got := w.stdout.String(); got != "2\t1\n1\t2\n" {
		t.Errorf("prints %q", got)
	}
}

func TestBackendsAreThereAgainForEachConnection(t *testing.T) {
	w := newWorld(t, `
		print(#proxy.global.backends)
		function connect_server() proxy.global.backends = {} end`, nil)
	for range 2 {
		s, _ := w.open()
		s.ConnectServer()
	}
	if got := w.stdout.String(); got != "2\n2\n" {
		t.Errorf("prints %q", got)
	}
}

func TestIdleSessionsAreThoseOfTheLoop(t *testing.T) {
	list := twoBackends()
	w := newWorld(t, `function connect_server() local n = proxy.global.backends[1].pool.users[""].cur_idle_connections end`,
		func(o *Options) { o.Global = list })
	w.scripts.Open(&session{loop: 3}).ConnectServer()
	if got := list[0].(*server).askedLoop; got != 3 {
		t.Errorf("loop %d was asked", got)
	}
}

var _ hook.Script = (*script)(nil)
