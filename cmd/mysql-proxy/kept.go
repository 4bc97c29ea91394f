package main

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"maps"
	"net"
	"slices"
	"time"

	"mysqlproxy/engine/reactor"
)

// kept is what one configuration of the engine takes over from the one before: what
// was made for as long as the process runs, and what was found out. One goroutine at
// a time uses it.
type kept struct {
	certificate *tls.Certificate        // self-made, nil as long as none was needed
	passwordKey func() *rsa.PrivateKey  // likewise
	hashes      *hashSync               // nil as long as nobody asks for them
	addresses   map[string]reactor.Addr // of servers, by how they were given
}

func newKept() *kept { return &kept{addresses: map[string]reactor.Addr{}} }

// clone is a copy, for a configuration that may turn out to be wrong.
func (k *kept) clone() *kept {
	c := *k
	c.addresses = maps.Clone(k.addresses)
	return &c
}

// resolveTime bounds how long a name is looked up that was looked up before.
const resolveTime = 5 * time.Second

// resolve is the address of a server. A name may have several, in another order each
// time: one that was taken before stays as long as the name has it. It stays, too,
// when the name service does not answer.
func (k *kept) resolve(text string) (reactor.Addr, error) {
	before, known := k.addresses[text]
	e, err := reactor.SplitAddr(text)
	if known && err == nil && e.Path == "" && e.Host != "" {
		ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
		defer cancel()
		ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", e.Host)
		for i := range ips {
			ips[i] = ips[i].Unmap()
		}
		if err != nil || slices.Contains(ips, before.IP.Addr().WithZone("")) {
			return before, nil
		}
	}
	a, err := reactor.ParseAddr(text)
	if err == nil {
		k.addresses[text] = a
	}
	return a, err
}
