// Load drives a proxy, or a server, in a closed loop from one thread and checks
// every byte that comes back. It speaks to the null server, directly or through
// a proxy, whose answers it knows.
//
// The report is one line of JSON on the standard output. The exit status is 1 if
// a single answer was wrong or missing.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"
)

var modes = []string{"point", "execute", "bulk", "connect", "idle", "slow", "query", "mix"}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "127.0.0.1:13306", "`address` of the proxy or the null server")
	flag.StringVar(&o.mode, "mode", "point", "what a connection does: point (a query), execute (a prepared statement), bulk (a large result),\n"+
		"connect (connect, log in, query, quit), idle (nothing), slow (a large result at -rate), query (-query, of any server),\n"+
		"mix (point, one request of ten being an UPDATE)")
	flag.IntVar(&o.conns, "conns", 1, "connections")
	flag.DurationVar(&o.warmup, "warmup", 100*time.Millisecond, "time before the measured window")
	flag.DurationVar(&o.duration, "duration", time.Second, "length of the measured window, if it has its -answers by then")
	flag.Int64Var(&o.answers, "answers", 1, "the window goes on for -timeout at most until it has so `many`, and slow until it has read what -rate and -duration are")
	flag.DurationVar(&o.timeout, "timeout", time.Minute, "time to log in, and to wait for the last answers")
	flag.StringVar(&o.user, "user", "bench", "user `name`")
	flag.StringVar(&o.password, "password", "", "password")
	flag.StringVar(&o.database, "db", "sbtest", "database, none if empty")
	flag.Int64Var(&o.bulk, "bulk", 10_000_000, "`bytes` of a large result")
	flag.IntVar(&o.row, "row", 1024, "`bytes` of one of its rows on the wire")
	flag.Int64Var(&o.rate, "rate", 1_000_000, "`bytes` a second that slow reads")
	flag.BoolVar(&o.noDeprecateEOF, "eof", false, "do not ask for DEPRECATE_EOF")
	flag.IntVar(&o.pid, "pid", 0, "process whose CPU time during the window is reported")
	flag.IntVar(&o.backendPID, "backend-pid", 0, "another such process")
	flag.Float64Var(&o.arrivals, "arrivals", 0, "connections that connect begins a `second`, at most -conns at once, or requests of all connections; 0: each when the one before it has ended")
	flag.StringVar(&o.query, "query", "", "`statement` of the mode query; all its answers must be the same")
	flag.StringVar((*string)(&o.tls), "tls", "", "TLS 1.3: mysql (after the greeting, as MySQL's clients do) or raw (from the first byte on)")
	cert := flag.String("tls-cert", "", "PEM `file` of the certificate that must be shown")
	hybrid := flag.Bool("tls-hybrid", false, "exchange keys by X25519MLKEM768, not X25519")
	flag.StringVar(&o.compress, "compress", "", "`algorithm` of the compressed protocol: zlib or zstd")
	flag.BoolVar(&o.untilEOF, "stdin", false, "end the window as soon as the standard input ends")
	flag.Parse()
	if !slices.Contains(modes, o.mode) || o.conns < 1 || o.rate < 1 || o.bulk < 0 || o.arrivals < 0 || flag.NArg() > 0 ||
		(o.mode == "query") != (o.query != "") || !slices.Contains([]tlsMode{tlsNone, tlsMySQL, tlsRaw}, o.tls) ||
		!slices.Contains([]string{"", "zlib", "zstd"}, o.compress) {
		flag.Usage()
		os.Exit(2)
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	if o.tls != tlsNone {
		var err error
		if o.tlsConfig, err = newTLSConfig(*cert, *hybrid); err != nil {
			fmt.Fprintln(os.Stderr, "load:", err)
			os.Exit(1)
		}
	}
	if o.mode == "idle" || o.mode == "connect" && o.arrivals > 0 {
		// The connections stand, or the storm is on: whoever started this may look
		// at the proxy now.
		o.onReady = func() { fmt.Println(`{"ready":true}`) }
	}
	r, err := run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil || r.Errors > 0 {
		for _, e := range r.FirstErrors {
			fmt.Fprintln(os.Stderr, "load:", e)
		}
		os.Exit(1)
	}
}
