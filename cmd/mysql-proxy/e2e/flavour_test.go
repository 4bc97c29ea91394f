package e2e

import (
	"os"
	"slices"
	"testing"
)

// flavours are the kinds of servers that tests run with, the usual one first.
// A test that is not about one of them goes through all by onEveryFlavour; the
// others, about a proxy to which servers are alike, have the first.
var flavours = flavoursFrom(os.Getenv("E2E_FLAVOUR"))

type flavour struct{ name string }

func flavoursFrom(only string) []flavour {
	if only != "" {
		return []flavour{{only}}
	}
	return []flavour{{"mariadb10.11"}, {"mariadb11.8"}, {"mysql9"}}
}

var beds = map[string]*testbed{}

// bedOf is the running testbed of a flavour, started when it is first asked for.
func bedOf(flavour string) (*testbed, error) {
	if b := beds[flavour]; b != nil {
		return b, nil
	}
	b, err := startTestbed(binDir, "--replicas=1", "--flavour="+flavour)
	if b != nil {
		beds[flavour] = b // to be stopped, even if it is no good
	}
	return b, err
}

func stopBeds() {
	for _, b := range beds {
		b.stop()
	}
}

// onEveryFlavour runs a test once for every flavour, with bed its servers. Parallel
// tests within it have ended before the next flavour's turn.
func onEveryFlavour(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	on(t, flavours, test)
}

// onEveryKind is onEveryFlavour for what one MariaDB has like the other: with the usual
// one, and with MySQL.
func onEveryKind(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	kinds := flavours
	if !long {
		kinds = slices.DeleteFunc(slices.Clone(kinds), func(f flavour) bool { return f.name == "mariadb11.8" && len(flavours) > 1 })
	}
	on(t, kinds, test)
}

func on(t *testing.T, list []flavour, test func(t *testing.T)) {
	t.Helper()
	usual := bed
	defer func() { bed = usual }()
	for _, f := range list {
		t.Run(f.name, func(t *testing.T) {
			var err error
			if bed, err = bedOf(f.name); err != nil {
				t.Fatal(err)
			}
			test(t)
		})
	}
}

// onOwnServers runs a test with a MariaDB and with MySQL, side by side: it starts
// servers of its own.
func onOwnServers(t *testing.T, test func(t *testing.T, flavour string)) {
	for _, f := range flavours {
		if f.name != "mariadb11.8" || len(flavours) == 1 {
			t.Run(f.name, func(t *testing.T) {
				t.Parallel()
				test(t, f.name)
			})
		}
	}
}
