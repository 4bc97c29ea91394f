package scripts

import (
	"os"
	"testing"
)

// flavours are the kinds of servers that tests run with, the usual one first;
// E2E_FLAVOUR has all tests run with one kind.
var flavours = flavoursFrom(os.Getenv("E2E_FLAVOUR"))

func flavoursFrom(only string) []string {
	if only != "" {
		return []string{only}
	}
	return []string{"mariadb10.11", "mariadb11.8", "mysql9"}
}

var beds = map[string]*testbed{}

// bedOf is the running testbed of a flavour, started and filled when it is first
// asked for.
func bedOf(flavour string) (*testbed, error) {
	if b := beds[flavour]; b != nil {
		return b, nil
	}
	b, err := startTestbed(binDir, flavour)
	if b != nil {
		beds[flavour] = b // to be stopped, even if it is no good
	}
	if err == nil {
		err = b.prepare()
	}
	return b, err
}

func stopBeds() {
	for _, b := range beds {
		b.stop()
	}
}

// onEveryFlavour runs a test once for every flavour, with bed its servers.
func onEveryFlavour(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for _, f := range flavours {
		withFlavour(t, f, test)
	}
}

// onEveryMariaDB is for tests with statements of MariaDB's own.
func onEveryMariaDB(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	for _, f := range flavours {
		if f != "mysql9" {
			withFlavour(t, f, test)
		}
	}
}

func withFlavour(t *testing.T, flavour string, test func(t *testing.T)) {
	t.Helper()
	usual := bed
	defer func() { bed = usual }()
	t.Run(flavour, func(t *testing.T) {
		var err error
		if bed, err = bedOf(flavour); err != nil {
			t.Fatal(err)
		}
		test(t)
	})
}

// inTransaction is a query for the number of transactions that are open in its
// session: every server has this one.
const inTransaction = "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id = CONNECTION_ID()"

// mysql says whether the servers are MySQL, else they are MariaDB.
func (b *testbed) mysql() bool { return b.Flavour == "mysql9" }
