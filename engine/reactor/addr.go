package reactor

import "net/netip"

// Addr is a numeric socket address: an IP address and port, or the path of a
// unix socket. The zero Addr is no address.
type Addr struct {
	IP   netip.AddrPort // valid unless Path is set
	Path string         // path of a unix socket, or empty
}

// String is the address as logs, the admin console and duplicate checks know
// it: 1.2.3.4:3306, [::1]:3306 or /path/sock. It is empty for the client of a
// unix socket, which has none.
func (a Addr) String() string {
	if a.Path != "" || !a.IP.IsValid() {
		return a.Path
	}
	return a.IP.String()
}
