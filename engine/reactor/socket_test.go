package reactor

import (
	"net/netip"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSockaddr(t *testing.T) {
	ip := func(s string) Addr { return Addr{IP: netip.MustParseAddrPort(s)} }
	lo := interfaceIndex("lo")
	if lo == 0 {
		t.Fatal("there is no interface lo")
	}
	for _, test := range []struct {
		addr   Addr
		domain int
		want   unix.Sockaddr
		back   Addr // as the kernel's answer is read
	}{
		{ip("127.0.0.1:3306"), unix.AF_INET, &unix.SockaddrInet4{Port: 3306, Addr: [4]byte{127, 0, 0, 1}}, ip("127.0.0.1:3306")},
		{ip("[::ffff:127.0.0.1]:3306"), unix.AF_INET, &unix.SockaddrInet4{Port: 3306, Addr: [4]byte{127, 0, 0, 1}}, ip("127.0.0.1:3306")},
		{ip("[::1]:3306"), unix.AF_INET6, &unix.SockaddrInet6{Port: 3306, Addr: [16]byte{15: 1}}, ip("[::1]:3306")},
		{ip("[fe80::1%7]:1"), unix.AF_INET6, &unix.SockaddrInet6{Port: 1, ZoneId: 7, Addr: [16]byte{0xfe, 0x80, 15: 1}}, ip("[fe80::1]:1")},
		{ip("[fe80::1%lo]:1"), unix.AF_INET6, &unix.SockaddrInet6{Port: 1, ZoneId: lo, Addr: [16]byte{0xfe, 0x80, 15: 1}}, ip("[fe80::1]:1")},
		{ip("[fe80::1%nosuch]:1"), unix.AF_INET6, &unix.SockaddrInet6{Port: 1, Addr: [16]byte{0xfe, 0x80, 15: 1}}, ip("[fe80::1]:1")},
		{Addr{Path: "/run/s"}, unix.AF_UNIX, &unix.SockaddrUnix{Name: "/run/s"}, Addr{Path: "/run/s"}},
	} {
		domain, sa := test.addr.sockaddr()
		if domain != test.domain || !reflect.DeepEqual(sa, test.want) {
			t.Errorf("%s: domain %d and %+v, want %d and %+v", test.addr, domain, sa, test.domain, test.want)
		}
		if got := addrOf(sa); got != test.back {
			t.Errorf("%s comes back as %s, want %s", test.addr, got, test.back)
		}
	}
	for _, sa := range []unix.Sockaddr{nil, &unix.SockaddrUnix{Name: "@"}} {
		if got := addrOf(sa); got != (Addr{}) {
			t.Errorf("%+v is %s, want no address", sa, got)
		}
	}
}
