// Nullserver is the cheapest MySQL server there is: one thread, one epoll, canned
// answers. Behind a proxy it leaves the proxy as what is measured.
//
// It lets everybody in, answers every query with one row, every prepared
// statement with one binary row, and "bulk N [R]" with N bytes of rows of R bytes
// each (rounded up to whole rows). "nullserver counts" answers with the number
// of requests so far, one number for each -addr.
//
// It is a MariaDB with a binary log: a client that tracks last_gtid has a new one
// with every INSERT, UPDATE and DELETE, and every replica has it at once.
package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

func main() {
	addrs := flag.String("addr", "127.0.0.1:13306", "`addresses` to listen on, separated by commas")
	flag.Parse()
	if err := run(*addrs); err != nil {
		fmt.Fprintln(os.Stderr, "nullserver:", err)
		os.Exit(1)
	}
}

func run(addrs string) error {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	s, err := newServer()
	if err != nil {
		return err
	}
	for addr := range strings.SplitSeq(addrs, ",") {
		a, err := netip.ParseAddrPort(addr)
		if err != nil {
			return err
		}
		if _, err := s.listen(a); err != nil {
			return err
		}
	}
	return s.serve()
}
