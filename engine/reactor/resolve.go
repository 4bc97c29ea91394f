package reactor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Addresses as people write them:
//
//	db1:3306  10.0.0.1:3306    TCP; a name is looked up once
//	db1       10.0.0.1         TCP, port 3306
//	:4040     0.0.0.0:4040     TCP, every IPv4 address of this machine
//	[::1]:3306  [::]:4040      TCP over IPv6; [::] takes IPv4 as well
//	/run/mysqld.sock           unix socket
//
//	text -- SplitAddr --> Endpoint -- Resolve (the only step that may wait) --> Addr

// DefaultPort is the port of an address that names none.
const DefaultPort = 3306

// maxPathLen is the longest path of a unix socket: sun_path less its final
// NUL and the one byte that MySQL Proxy also leaves free.
const maxPathLen = 106

// lookupTimeout bounds one name look-up, retries of the resolver included.
const lookupTimeout = 10 * time.Second

// Endpoint is an address as configured, before any name look-up.
type Endpoint struct {
	Host      string // name or IP address; empty for the IPv4 wildcard and for unix sockets
	Port      uint16 // 0 asks for any free port
	PortGiven bool   // false if Port is only DefaultPort
	Path      string // path of a unix socket, or empty
}

// ParseAddr reads an address and, if it holds a host name, looks the name up:
// once, for at most ten seconds, keeping the first answer in the order of the
// system's resolver. The error quotes s and says what would be right.
func ParseAddr(s string) (Addr, error) {
	e, err := SplitAddr(s)
	if err != nil {
		return Addr{}, err
	}
	return e.Resolve(context.Background())
}

// SplitAddr checks the form of an address and takes it apart, without looking
// up names.
func SplitAddr(s string) (Endpoint, error) {
	bad := func(format string, args ...any) (Endpoint, error) {
		return Endpoint{}, fmt.Errorf("address %q: %s", s, fmt.Sprintf(format, args...))
	}
	if s == "" {
		return bad("it is empty; give host:port, :port, [ipv6]:port or /path/of/socket")
	}
	if s[0] == '/' {
		if len(s) > maxPathLen {
			return bad("the path has %d bytes, a unix socket's may have %d; use a shorter one", len(s), maxPathLen)
		}
		if strings.IndexByte(s, 0) >= 0 {
			return bad("the path contains a NUL byte")
		}
		return Endpoint{Path: s}, nil
	}

	host, rest := s, ""
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return bad("the ] after the IPv6 address is missing")
		}
		host, rest = s[1:end], s[end+1:]
		ip, err := netip.ParseAddr(host)
		if err != nil || !ip.Is6() {
			return bad("between [ and ] must be an IPv6 address")
		}
		if rest != "" && rest[0] != ':' {
			return bad("only :port may follow the ]")
		}
	} else {
		if colon := strings.IndexByte(s, ':'); colon >= 0 {
			host, rest = s[:colon], s[colon:]
		}
		if err := checkHost(host); err != nil {
			// With two colons or more it was most likely meant as IPv6.
			if ip, ipErr := netip.ParseAddr(s); ipErr == nil && ip.Is6() {
				return bad("an IPv6 address needs brackets: [%s]:%d", s, DefaultPort)
			}
			return bad("%v", err)
		}
	}

	e := Endpoint{Host: host, Port: DefaultPort}
	if rest == "" {
		return e, nil
	}
	port := rest[1:]
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err == nil:
		e.Port, e.PortGiven = uint16(n), true
		return e, nil
	case port == "":
		return bad("a port must follow the colon; without the colon it is %d", DefaultPort)
	case strings.IndexByte(port, ',') >= 0:
		return bad("it is a list; give one address each time")
	case strings.IndexByte(port, ':') >= 0:
		if ip, ipErr := netip.ParseAddr(s); ipErr == nil && ip.Is6() {
			return bad("an IPv6 address needs brackets: [%s]:%d", s, DefaultPort)
		}
	}
	return bad("the port %q is not a number from 0 to 65535", port)
}

// checkHost refuses what can be neither a host name nor an IPv4 address.
// Names are otherwise left to the resolver, which knows the local rules.
func checkHost(host string) error {
	if len(host) > 253 {
		return fmt.Errorf("the host name has %d bytes, at most 253 are allowed", len(host))
	}
	for i := range len(host) {
		switch c := host[i]; {
		case c <= ' ' || c == 0x7f:
			return errors.New("a host name has no blanks or control characters")
		case c == ',':
			return errors.New("it is a list; give one address each time")
		case c == '[' || c == ']' || c == '/':
			return fmt.Errorf("a host name has no %q", c)
		}
	}
	return nil
}

// Resolve turns e into a numeric address. It looks at the name service only
// if Host is a name, and gives up when ctx ends or after ten seconds.
func (e Endpoint) Resolve(ctx context.Context) (Addr, error) {
	return e.resolve(ctx, net.DefaultResolver.LookupNetIP)
}

type lookupFunc func(ctx context.Context, network, host string) ([]netip.Addr, error)

func (e Endpoint) resolve(ctx context.Context, lookup lookupFunc) (Addr, error) {
	switch {
	case e.Path != "":
		return Addr{Path: e.Path}, nil
	case e.Host == "":
		return Addr{IP: netip.AddrPortFrom(netip.IPv4Unspecified(), e.Port)}, nil
	}
	if ip, err := netip.ParseAddr(e.Host); err == nil {
		return Addr{IP: netip.AddrPortFrom(ip, e.Port)}, nil
	}

	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	ips, err := lookup(ctx, "ip", e.Host)
	switch {
	case ctx.Err() != nil:
		return Addr{}, fmt.Errorf("host name %q: the name service did not answer in %v; check /etc/resolv.conf or give an IP address", e.Host, lookupTimeout)
	case err != nil:
		why := err.Error()
		var dns *net.DNSError
		if errors.As(err, &dns) {
			why = dns.Err // without the server's address and the name again
		}
		return Addr{}, fmt.Errorf("host name %q cannot be resolved (%s); check its spelling or give an IP address", e.Host, why)
	case len(ips) == 0:
		return Addr{}, fmt.Errorf("host name %q has no IP address", e.Host)
	}
	// The resolver may write IPv4 as ::ffff:1.2.3.4, which would look like
	// another backend in duplicate checks.
	return Addr{IP: netip.AddrPortFrom(ips[0].Unmap(), e.Port)}, nil
}
