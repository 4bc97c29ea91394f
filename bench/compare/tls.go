package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mysqlproxy/engine/enginetest"
)

// TLS with clients and none with servers. HAProxy cannot begin with it behind
// MySQL's greeting, so it has it from the first byte, with the greeting inside:
// behind the login its connections carry the same records as mysql-proxy's.

// tlsContestants in the order in which they are printed.
var tlsContestants = []string{floor, haproxy, ours, haproxyTLS, oursTLS, oursHybrid}

// speaksTLS says whether a contestant does with its clients.
func speaksTLS(name string) bool { return name == haproxyTLS || name == oursTLS || name == oursHybrid }

// beginTLS says how a contestant that speaks TLS is to be asked.
func (b *bench) beginTLS(i *instance) error {
	if !speaksTLS(i.name) {
		return nil
	}
	if err := b.certificate(); err != nil {
		return err
	}
	i.plain = i.addr
	i.load = []string{"-tls", "mysql", "-tls-cert", b.bin("cert.pem")}
	switch i.name {
	case oursHybrid:
		i.load = append(i.load, "-tls-hybrid")
	case haproxyTLS:
		lease, err := enginetest.LeasePort() // until this program ends
		if err != nil {
			return err
		}
		i.plain = lease.Addr()
		i.load[1] = "raw"
	}
	return nil
}

// certificate makes the one that everybody shows: ECDSA, P-256, self-made.
func (b *bench) certificate() error {
	if _, err := os.Stat(b.bin("cert.pem")); err == nil {
		return nil
	}
	id := enginetest.NewAuthority("bench", "bench")
	cert, secret := id.CertPEM(), id.KeyPEM()
	for name, text := range map[string][]byte{"key.pem": secret, "both.pem": slices.Concat(cert, secret), "cert.pem": cert} {
		if err := os.WriteFile(b.bin(name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// tlsLine is a contestant that speaks TLS at i.addr and takes others at i.plain.
func (b *bench) tlsLine(i instance, port int, to backends) ([]string, error) {
	if i.name != haproxyTLS {
		return append(b.oursLine(port, to), "--proxy-tls=prefer", "--backend-tls=off",
			"--proxy-tls-cert="+b.bin("cert.pem"), "--proxy-tls-key="+b.bin("key.pem")), nil
	}
	var plain int
	if _, err := fmt.Sscanf(i.plain, "127.0.0.1:%d", &plain); err != nil {
		return nil, err
	}
	conf := filepath.Join(b.dir, fmt.Sprintf("haproxy-%d.cfg", port))
	text := haproxyConfig(to.primary, b.files, bind(plain),
		bind(port, "ssl crt", b.bin("both.pem"), "ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256 curves X25519 no-tls-tickets"))
	return []string{"haproxy", "-db", "-q", "-f", conf}, os.WriteFile(conf, []byte(text), 0o600)
}

// tlsSection measures TLS with clients: queries, handshakes, and what a storm of
// handshakes does to others.
func (b *bench) tlsSection() error {
	if !b.does("tls") && !b.does("handshakes") {
		return nil
	}
	null, err := b.startNull(1)
	if err != nil {
		return err
	}
	defer null.proc.stop()
	all, stop, err := b.beginAll(b.tlsContestants, null)
	defer stop()
	if err != nil {
		return err
	}
	if err := b.sameTLS(all); err != nil {
		return err
	}
	if b.does("tls") {
		if err := b.queriesOverTLS(all); err != nil {
			return err
		}
	}
	if b.does("handshakes") {
		return b.handshakes(all)
	}
	return nil
}

// shown prints a table and how long it took, and returns it.
func shown(table string, since time.Time) string {
	fmt.Printf("%s\n(%.0f s)\n\n", table, time.Since(since).Seconds())
	return table + "\n"
}

func (b *bench) queriesOverTLS(all []instance) error {
	// The exchange of keys is over when queries begin.
	all = slices.DeleteFunc(slices.Clone(all), func(i instance) bool { return i.name == oursHybrid })
	text := b.machine.markdown() + "\n"
	for _, n := range b.tlsConns {
		t := time.Now()
		w := work{title: "Point query over TLS, " + connections(n), mode: "point", conns: n}
		result, err := b.measure(w, all)
		if err != nil {
			return err
		}
		text += shown(tlsTable(w, result), t)
	}
	return b.save("TLS", text)
}

func (b *bench) handshakes(all []instance) error {
	t := time.Now()
	w := work{title: "Connect, full TLS handshake, log in, one query, quit; 16 at once", mode: "connect", conns: 16}
	result, err := b.measure(w, all)
	if err != nil {
		return err
	}
	text := b.machine.markdown() + "\n" + shown(handshakeTable(w, result), t)
	t = time.Now()
	s, err := b.stormTable(all)
	if err != nil {
		return err
	}
	return b.save("handshakes", text+shown(s, t))
}

// sameTLS checks that all agree on what is compared.
func (b *bench) sameTLS(all []instance) error {
	for _, i := range all {
		if !speaksTLS(i.name) {
			continue
		}
		s, err := b.load(i, "point", 1, "-duration", "50ms")
		if err != nil {
			return fmt.Errorf("%s: %w", label(i.name), err)
		}
		curve := tls.X25519
		if i.name == oursHybrid {
			curve = tls.X25519MLKEM768
		}
		if want := "TLS 1.3, TLS_AES_128_GCM_SHA256, " + curve.String(); s.TLS != want {
			return fmt.Errorf("%s speaks %s, not %s", label(i.name), s.TLS, want)
		}
	}
	return nil
}

// withoutTLS is the contestant that does the same without TLS.
func withoutTLS(all []series, name string) series {
	switch name {
	case haproxyTLS:
		return find(all, haproxy)
	case oursTLS, oursHybrid:
		return find(all, ours)
	}
	return series{}
}

// tlsTable shows queries over TLS.
func tlsTable(w work, all []series) string {
	t := newTable(w.title, "contestant", "CPU us a query", "times HAProxy alike", "times without TLS", "times floor", "a second", "p50 us", "p99 us", "peak RSS MB")
	base := find(all, floor)
	for _, s := range all {
		t.row(label(s.name), spreadOf(s.cpu).String(), against(s, haproxyLike(all, s.name), cpuOf), against(s, withoutTLS(all, s.name), cpuOf),
			against(s, base, cpuOf), spreadOf(s.qps).String(), spreadOf(s.p50).String(), spreadOf(s.p99).String(), spreadOf(s.rss).String())
		t.missing(s)
	}
	return t.markdown()
}

// haproxyLike is HAProxy with TLS for those that have it, and without for others.
func haproxyLike(all []series, name string) series {
	if speaksTLS(name) {
		return find(all, haproxyTLS)
	}
	return find(all, haproxy)
}

// handshakeTable shows whole sessions, most of which is their handshake.
func handshakeTable(w work, all []series) string {
	t := newTable(w.title, "contestant", "CPU us a session", "times HAProxy alike", "CPU us more than without TLS", "handshakes a CPU-second", "a second", "p50 us", "p99 us")
	for _, s := range all {
		more, rate := "-", "-"
		if plain := withoutTLS(all, s.name); plain.name != "" {
			if d := spreadOf(differences(s.cpu, plain.cpu)); d.n > 0 {
				more, rate = d.String(), thousands(1e6/d.median)
			}
		}
		t.row(label(s.name), spreadOf(s.cpu).String(), against(s, haproxyLike(all, s.name), cpuOf), more, rate,
			spreadOf(s.qps).String(), spreadOf(s.p50).String(), spreadOf(s.p99).String())
		t.missing(s)
	}
	t.note += "Handshakes a CPU-second: of the CPU time that a session takes more than one without TLS."
	return t.markdown()
}
