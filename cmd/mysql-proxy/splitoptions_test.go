package main

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"mysqlproxy/engine"
)

func TestPoolOptions(t *testing.T) {
	for _, tc := range []struct{ args, want string }{
		{"", ""},
		{"--pool-min-idle=5 --pool-max-idle=5", ""},
		{"--pool-min-idle=5 --pool-max-idle=0", ""},
		{"--pool-min-idle=6 --pool-max-idle=5", "is more than --pool-max-idle"},
	} {
		l, err := load(strings.Fields(tc.args), nil, "")
		if err != nil {
			t.Fatal(err)
		}
		if err = l.check(); (tc.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.args, err, tc.want)
		}
	}
	l, err := load(strings.Fields("--pool-max-sessions=7 --pool-wait=1.5 --pool-max-idle=6 --pool-min-idle=2 --pool-idle-time=3 --pool-max-age=4"), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := engine.PoolConfig{MaxSessions: 7, Wait: 1500 * time.Millisecond, MaxIdle: 6, MinIdle: 2, IdleTime: 3 * time.Second, MaxAge: 4 * time.Second}
	if c, err := engineConfig(l.settings, slog.New(slog.DiscardHandler), nil); err != nil || c.Pool != want {
		t.Errorf("the engine has %+v, %v, want %+v", c.Pool, err, want)
	}
}
