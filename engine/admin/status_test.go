package admin

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine"
)

// The document of figures in which nothing is missing. Programs read it: fields
// may be added, none may go.
const fullStatus = `{
  "version": "1.2.3",
  "started": "1970-01-01T00:16:40.5Z",
  "now": "1970-01-01T00:33:20Z",
  "uptime_seconds": 999.5,
  "ready": true,
  "not_ready": [],
  "backends": [
    {"address": "10.0.0.1:3306", "type": "rw", "state": "up", "health": "good", "role": "primary", "duty": "online", "leads": true, "weight": 1, "clients": 2, "idle_sessions": 3,
     "lag_seconds": null, "probe_latency_seconds": 0.004,
     "since": "1970-01-01T00:18:20Z", "sessions": 32, "waiting_sessions": 55, "connects": 33, "connect_failures": 34, "commands": 35, "received_bytes": 36, "sent_bytes": 37,
     "probes": 38, "probe_failures": 39, "last_error": "refused", "last_error_at": "1970-01-01T00:20:00Z"},
    {"address": "/run/\ufffddb.sock", "type": "ro", "state": "down", "health": "lagging", "role": "replica", "duty": "draining", "leads": false, "weight": 5, "clients": 6, "idle_sessions": 7,
     "lag_seconds": 8.5, "probe_latency_seconds": null,
     "since": null, "sessions": 0, "waiting_sessions": 0, "connects": 0, "connect_failures": 0, "commands": 0, "received_bytes": 0, "sent_bytes": 0,
     "probes": 0, "probe_failures": 0, "last_error": null, "last_error_at": null}
  ],
  "loops": [
    {"number": 0, "sessions": 9, "admin_sessions": 10, "accepted": 11, "commands": 12, "received_bytes": 13, "sent_bytes": 14,
     "server_sessions": 40, "turns": 41, "busy_seconds": 0.056, "waiting_bytes": 42, "buffer_bytes": 43},
    {"number": 1, "sessions": 15, "admin_sessions": 16, "accepted": 17, "commands": 18, "received_bytes": 19, "sent_bytes": 20,
     "server_sessions": 44, "turns": 45, "busy_seconds": 0.057, "waiting_bytes": 46, "buffer_bytes": 47}
  ],
  "sessions": {"open": 24, "admin": 26, "accepted": 28, "closed": [{"reason": "client_quit", "fault": "nobody", "sessions": 24}]},
  "routes": [{"route": "primary", "reason": "in_transaction", "commands": 21}, {"route": "replica", "reason": "read", "commands": 22}],
  "pins": [{"pin": "temporary_table", "sessions": 23}],
  "identities": [{"how": "relay", "owned": true, "sessions": 48}, {"how": "no_password", "owned": false, "sessions": 49}],
  "hooks": [{"hook": "read_query", "calls": 50, "failures": 51, "timed_calls": 52, "timed_seconds": 0.053}],
  "waiting_for_primary": 59,
  "split_brains": 25,
  "cpu_seconds": 54,
  "latency": {"timed_commands": 8, "timed_seconds": 58, "up_to": [{"seconds": 0.000064, "commands": 5}, {"seconds": 0.000128, "commands": 5}]},
  "memory": {"heap_bytes": 26, "heap_goal_bytes": 27, "total_bytes": 28, "goroutines": 29, "collections": 30, "collection_pauses_seconds": 0.031},
  "events": [
    {"number": 7, "at": "1970-01-01T00:16:40Z", "kind": "health", "backend": "10.0.0.1:3306", "from": "good", "to": "down", "reason": "\u003cb\u003erefused\u003c/b\u003e"}
  ]
}`

func TestStatus(t *testing.T) {
	addr := serve(t, &told{figures: full(), events: []engine.Event{
		{Number: 7, At: time.Unix(1000, 0), Kind: engine.EventHealth, Backend: "10.0.0.1:3306", From: "good", To: "down", Reason: "<b>refused</b>"},
	}})
	code, header, body := get(t, addr, "/status.json")
	if code != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", code, header)
	}
	if strings.Contains(body, "<b>") {
		t.Errorf("it has text that a browser may take for HTML:\n%s", body)
	}
	if got, want := compacted(t, body), compacted(t, fullStatus); got != want {
		t.Errorf("it is\n%s\nwant\n%s", got, want)
	}
}

// What only operators may know, who log in, is not told to whoever asks.
func TestStatusKeepsWhatOperatorsKnow(t *testing.T) {
	addr := serve(t, &told{figures: full(), events: []engine.Event{
		{Kind: engine.EventKill, Reason: `a session was killed: number 7, user "alice", client 10.9.9.9:5000`},
		{Kind: engine.EventConfig, Reason: "health-user", From: "alice", To: "alicia"},
		{Kind: engine.EventConfig, Reason: `not applied: loading config failed: line 3: "alice" has no value`},
	}})
	_, _, body := get(t, addr, "/status.json")
	for _, secret := range []string{"alic", "10.9.9.9"} {
		if strings.Contains(body, secret) {
			t.Errorf("it tells %q:\n%s", secret, body)
		}
	}
	for _, want := range []string{`"a session was killed: number 7"`, `"health-user"`, `"not applied"`} {
		if !strings.Contains(body, want) {
			t.Errorf("it lacks %s:\n%s", want, body)
		}
	}
}

// compacted is a document in one form, whoever wrote it, by another library than
// the one that is tested.
func compacted(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Of a proxy with nothing there are empty lists, no nulls.
func TestStatusOfAProxyWithoutAnything(t *testing.T) {
	addr := serve(t, &told{stopping: true})
	_, _, body := get(t, addr, "/status.json")
	for _, want := range []string{`"backends":[]`, `"loops":[]`, `"closed":[]`, `"routes":[]`, `"pins":[]`, `"latency":null`, `"events":[]`, `"identities":[]`, `"hooks":[]`,
		`"not_ready":["the proxy is shutting down","no backend is configured"]`, `"ready":false`} {
		if !strings.Contains(compacted(t, body), want) {
			t.Errorf("it lacks %s:\n%s", want, body)
		}
	}
}
