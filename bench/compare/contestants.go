package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"mysqlproxy/engine/enginetest"
)

// Names of the contestants.
const (
	direct  = "direct"
	floor   = "floor"
	haproxy = "haproxy"
	ours    = "mysql-proxy"
	// oursSplit has the replicas as read-only backends, and reads from them.
	oursSplit = "mysql-proxy-split"
	// These speak TLS with clients, and not with servers. oursHybrid is oursTLS
	// with clients that exchange keys by X25519MLKEM768.
	haproxyTLS = "haproxy-tls"
	oursTLS    = "mysql-proxy-tls"
	oursHybrid = "mysql-proxy-hybrid"
	// oursZlib6 compresses as hard as servers do.
	oursZlib6 = "mysql-proxy-zlib6"
)

// label is how a table calls a contestant.
func label(name string) string {
	switch name {
	case floor:
		return "floor (bare C)"
	case haproxy:
		return "HAProxy, TCP"
	case oursSplit:
		return "mysql-proxy, splitting"
	case oursZlib6:
		return "mysql-proxy, --zlib-level=6"
	case haproxyTLS:
		return "HAProxy, TLS"
	case oursTLS:
		return "mysql-proxy, TLS"
	case oursHybrid:
		return "mysql-proxy, TLS, X25519MLKEM768"
	}
	if r, ok := scriptRunOf(name); ok {
		return r.label
	}
	if r, ok := digestRunOf(name); ok {
		return r.label
	}
	return name
}

// backends is what a contestant stands in front of: addresses, and the user and
// password of the load, as a line of a users-file.
type backends struct {
	primary  string
	replicas []string
	user     string
}

// instance is a running contestant; proc is nil for the direct way.
type instance struct {
	name string
	addr string
	// plain is where a contestant with TLS takes clients without.
	plain string
	proc  *proc
	// load are the load generator's arguments for the way it speaks.
	load []string
}

// withoutTLS is the same process, to be asked without TLS.
func (i instance) withoutTLS() instance {
	if i.plain != "" {
		i.addr, i.load = i.plain, nil
	}
	return i
}

func (i instance) stop() {
	if i.proc != nil {
		i.proc.stop()
	}
}

// begin starts a contestant on one CPU and waits until it listens.
func (b *bench) begin(name string, to backends, cpu int) (instance, error) {
	if name == direct {
		return instance{name: name, addr: to.primary}, nil
	}
	lease, err := enginetest.LeasePort() // until this program ends
	if err != nil {
		return instance{}, err
	}
	i := instance{name: name, addr: lease.Addr()}
	if err := b.beginTLS(&i); err != nil {
		return instance{}, err
	}
	argv, err := b.commandLine(i, lease.Port, to)
	if err != nil {
		return instance{}, err
	}
	if i.proc, err = b.procs.start(label(name), cpu, argv...); err != nil {
		return instance{}, err
	}
	if err := b.procs.listening(i.proc, i.addr); err != nil {
		i.stop()
		return instance{}, err
	}
	return i, nil
}

func (b *bench) commandLine(i instance, port int, to backends) ([]string, error) {
	name := i.name
	switch name {
	case floor:
		_, backend, _ := strings.Cut(to.primary, ":")
		return []string{b.bin("floor"), strconv.Itoa(port), backend}, nil
	case haproxy:
		conf := filepath.Join(b.dir, fmt.Sprintf("haproxy-%d.cfg", port))
		if err := os.WriteFile(conf, []byte(haproxyConfig(to.primary, b.files, bind(port))), 0o600); err != nil {
			return nil, err
		}
		return []string{"haproxy", "-db", "-q", "-f", conf}, nil
	case ours, oursSplit:
		argv := b.oursLine(port, to)
		if name == ours {
			return argv, nil
		}
		users := filepath.Join(b.dir, fmt.Sprintf("users-%d", port))
		for _, r := range to.replicas {
			argv = append(argv, "-r", r)
		}
		return append(argv, "--auth=users-file", "--users-file="+users), os.WriteFile(users, []byte(to.user+"\n"), 0o600)
	case oursZlib6:
		return append(b.oursLine(port, to), "--zlib-level=6"), nil
	case haproxyTLS, oursTLS, oursHybrid:
		return b.tlsLine(i, port, to)
	}
	if r, ok := scriptRunOf(name); ok {
		return r.commandLine(b, port, to), nil
	}
	if r, ok := digestRunOf(name); ok {
		return append(b.oursLine(port, to), r.args...), nil
	}
	names := []string{direct, floor, haproxy, ours, oursSplit, haproxyTLS, oursTLS, oursHybrid, oursZlib6}
	for _, r := range scriptRuns {
		names = append(names, r.name)
	}
	names = append(names, digestContestants()...)
	return nil, fmt.Errorf("unknown contestant %q: there are %s", name, strings.Join(names, ", "))
}

// oursLine is mysql-proxy in front of a primary.
func (b *bench) oursLine(port int, to backends) []string {
	return []string{
		b.proxy, "-P", fmt.Sprintf("127.0.0.1:%d", port), "-b", to.primary,
		"--event-threads=1", fmt.Sprintf("--max-open-files=%d", b.files),
		// A server that the machine has kept from answering is not down.
		"--proxy-connect-timeout=60", "--proxy-login-timeout=60",
	}
}

// bind is a line of HAProxy's configuration.
func bind(port int, options ...string) string {
	return fmt.Sprintf("bind 127.0.0.1:%d backlog 4096 %s", port, strings.Join(options, " "))
}

// haproxyConfig is HAProxy as a plain forwarder with one thread. Each session
// takes two descriptors.
func haproxyConfig(backend string, files uint64, binds ...string) string {
	return fmt.Sprintf(`global
    nbthread 1
    maxconn %d

defaults
    mode tcp
    timeout connect 10s
    timeout client 1h
    timeout server 1h

listen bench
    %s
    server backend %s
`, (files-200)/2, strings.Join(binds, "\n    "), backend)
}
