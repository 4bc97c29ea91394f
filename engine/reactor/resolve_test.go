package reactor

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestParseAddrNumeric(t *testing.T) {
	longest := "/" + strings.Repeat("p", maxPathLen-1)
	for _, tc := range []struct{ in, want string }{
		{"10.0.0.1:3307", "10.0.0.1:3307"},
		{"10.0.0.1", "10.0.0.1:3306"},
		{":4040", "0.0.0.0:4040"},
		{"0.0.0.0", "0.0.0.0:3306"},
		{"0.0.0.0:1", "0.0.0.0:1"},
		{"127.0.0.1:0", "127.0.0.1:0"},
		{"127.0.0.1:65535", "127.0.0.1:65535"},
		{"127.0.0.1:03306", "127.0.0.1:3306"},
		{"[::1]:3306", "[::1]:3306"},
		{"[::1]", "[::1]:3306"},
		{"[::]:4040", "[::]:4040"},
		{"[fe80::1%eth0]:3306", "[fe80::1%eth0]:3306"},
		{"/run/mysqld.sock", "/run/mysqld.sock"},
		{"/run/with:colon and blank", "/run/with:colon and blank"},
		{longest, longest},
	} {
		a, err := ParseAddr(tc.in)
		if err != nil || a.String() != tc.want {
			t.Errorf("ParseAddr(%q) = %q, %v; want %q", tc.in, a, err, tc.want)
		}
	}
}

func TestParseAddrRefuses(t *testing.T) {
	for _, tc := range []struct{ in, says string }{
		{"", "empty"},
		{"host:", "a port must follow"},
		{":", "a port must follow"},
		{"[::1]:", "a port must follow"},
		{"host:65536", "0 to 65535"},
		{"host:-1", "0 to 65535"},
		{"host:+1", "0 to 65535"},
		{"host:mysql", "0 to 65535"},
		{"host:3306 ", "0 to 65535"},
		{"host:99999999999999999999", "0 to 65535"},
		{"host:3306,other:3307", "one address each time"},
		{"host,other", "one address each time"},
		{"::1", "needs brackets: [::1]:3306"},
		{"fe80::1", "needs brackets: [fe80::1]:3306"},
		{"a:b:c", "0 to 65535"},
		{"[::1", "missing"},
		{"[::1]x", "only :port"},
		{"[10.0.0.1]:3306", "IPv6"},
		{"[]:3306", "IPv6"},
		{"ho st:3306", "blanks"},
		{"host\n:3306", "control characters"},
		{"run/mysqld.sock", "'/'"},
		{"/" + strings.Repeat("p", maxPathLen), "107 bytes"},
		{"/run/\x00", "NUL"},
		{strings.Repeat("h", 254), "253"},
	} {
		a, err := ParseAddr(tc.in)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("ParseAddr(%q) = %q, %v; want an error with %q", tc.in, a, err, tc.says)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("ParseAddr(%q): the error is not one clean line: %q", tc.in, err)
		}
	}
}

func TestSplitAddrTellsWhetherAPortWasGiven(t *testing.T) {
	for in, want := range map[string]bool{"db1": false, "db1:3306": true, "[::1]": false, "[::1]:1": true, ":0": true} {
		e, err := SplitAddr(in)
		if err != nil || e.PortGiven != want {
			t.Errorf("SplitAddr(%q).PortGiven = %v, %v; want %v", in, e.PortGiven, err, want)
		}
	}
}

func TestResolveTakesTheFirstAnswer(t *testing.T) {
	for _, tc := range []struct {
		name    string
		answers []string
		want    string
	}{
		{"v4 first", []string{"10.0.0.9", "2001:db8::9"}, "10.0.0.9:3307"},
		{"v6 first", []string{"2001:db8::9", "10.0.0.9"}, "[2001:db8::9]:3307"},
		{"mapped v4", []string{"::ffff:10.0.0.9"}, "10.0.0.9:3307"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked := 0
			a, err := Endpoint{Host: "db1", Port: 3307}.resolve(t.Context(), func(_ context.Context, network, host string) ([]netip.Addr, error) {
				asked++
				if network != "ip" || host != "db1" {
					t.Errorf("asked for %s %s, want ip db1", network, host)
				}
				var ips []netip.Addr
				for _, s := range tc.answers {
					ips = append(ips, netip.MustParseAddr(s))
				}
				return ips, nil
			})
			if err != nil || a.String() != tc.want || asked != 1 {
				t.Errorf("got %q, %v after %d look-ups; want %q after 1", a, err, asked, tc.want)
			}
		})
	}
}

func TestResolveSaysWhyANameFailed(t *testing.T) {
	notFound := &net.DNSError{Err: "no such host", Name: "db1", Server: "10.1.1.1:53", IsNotFound: true}
	_, err := Endpoint{Host: "db1"}.resolve(t.Context(), func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, notFound
	})
	if err == nil || !strings.Contains(err.Error(), `"db1" cannot be resolved (no such host)`) {
		t.Errorf("got %v, want the name and the resolver's reason", err)
	}

	_, err = Endpoint{Host: "db1"}.resolve(t.Context(), func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, nil
	})
	if err == nil {
		t.Error("no answer and no error: want an error")
	}
}

func TestResolveEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Endpoint{Host: "db1"}.resolve(ctx, func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			return nil, errors.New("the look-up has no deadline")
		}
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err == nil || !strings.Contains(err.Error(), "did not answer") {
		t.Errorf("got %v, want an error that the name service did not answer", err)
	}
}

// Property: what SplitAddr accepts as numeric is the same address again when
// its text form is read; and nothing it accepts is out of bounds.
func FuzzSplitAddr(f *testing.F) {
	for _, s := range []string{"db1:3306", ":4040", "[::1]:3306", "[fe80::1%eth0]", "/run/x", "::1", "a:b", "[", "host:65536"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := SplitAddr(s)
		if err != nil {
			return
		}
		if len(e.Path) > maxPathLen || e.Path != "" && e.Host != "" {
			t.Fatalf("SplitAddr(%q) = %+v", s, e)
		}
		noNames := errors.New("names are not looked up here")
		a, err := e.resolve(context.Background(), func(context.Context, string, string) ([]netip.Addr, error) { return nil, noNames })
		if err != nil {
			return
		}
		again, err := ParseAddr(a.String())
		if err != nil || again != a {
			t.Fatalf("%q is %q; read again it is %q, %v", s, a, again, err)
		}
	})
}
