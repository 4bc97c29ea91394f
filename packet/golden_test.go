package packet

import (
	"bytes"
	"strings"
	"testing"
)

// Whatever a real server or client has sent is parsed, and written again byte
// for byte.
func TestCapturesParseAndAppendAlike(t *testing.T) {
	for _, c := range conversations(t) {
		t.Run(c.name, func(t *testing.T) {
			r := &follower{t: t, left: c.packets}
			if c.name == "mariadb-10.11-pymysql-too-many" {
				r.err(r.next('S'))
				if e := r.errs[0]; e.Code != 1040 || len(e.State) != 0 || string(e.Message) != "Too many connections" {
					t.Errorf("ERR in the greeting's place: %d %q %q", e.Code, e.State, e.Message)
				}
				return
			}
			g, l := r.login()
			if want := NativePassword([]byte("secret"), g.Challenge[:]); !bytes.Equal(l.AuthResponse, want[:]) {
				t.Errorf("response of %s is %x, we would send %x", l.User, l.AuthResponse, want)
			}
			for attrs := l.Attributes; len(attrs) > 0; {
				_, _, rest, ok := NextAttribute(attrs)
				if !ok {
					t.Fatalf("attributes are malformed at %x", attrs)
				}
				attrs = rest
			}
			r.commands()
			if want := map[string]int{"mariadb-10.11-mariadb-cli-progress": 2}[c.name]; r.counts.progress != want {
				t.Errorf("%d progress reports, want %d", r.counts.progress, want)
			}
			if want := map[string]int{"mariadb-10.11-pymysql": 31}[c.name]; r.counts.defaults != want {
				t.Errorf("%d columns with a default, want %d", r.counts.defaults, want)
			}
			if want := map[string]int{"mariadb-10.11-php": 2}[c.name]; r.counts.switches != want {
				t.Errorf("%d switches, want %d", r.counts.switches, want)
			}
			if extended := r.caps&CapMariaDBExtendedMetadata != 0; !extended && r.counts.extended > 0 {
				t.Errorf("%d extended definitions without the capability", r.counts.extended)
			}
			for _, o := range r.oks {
				it := SessionChangesOf(o.SessionState)
				for {
					if _, ok := it.Next(); !ok {
						break
					}
				}
				if it.Err() != nil {
					t.Errorf("session state %x: %v", o.SessionState, it.Err())
				}
			}
		})
	}
}

// The same rows were read in both forms: what we make of a binary row must be
// what the server has written into the text row.
func TestBinaryRowsReadAsTheServersTextRows(t *testing.T) {
	compared := 0
	for _, c := range conversations(t) {
		t.Run(c.name, func(t *testing.T) {
			if c.packets[0].pkt.Payload()[0] == headERR {
				return
			}
			r := &follower{t: t, left: c.packets}
			r.login()
			r.commands()
			if len(r.binary) == 0 {
				return
			}
			text := map[string][]string{}
			for _, row := range r.text[0].rows {
				text[row[0]] = row
			}
			for _, res := range r.binary {
				for _, row := range res.rows {
					for i, got := range row {
						if want := text[row[0]][i]; got != want {
							t.Errorf("row %s, column %s %v: got %q, want %q", row[0], res.columns[i].Name, res.columns[i].Type, got, want)
						}
						compared++
					}
				}
			}
		})
	}
	if compared < 1000 {
		t.Errorf("%d values compared: the captures lack binary rows", compared)
	}
}

// What the server said of the session in a capture with all kinds that MariaDB
// has.
func TestSessionChangesOfACapture(t *testing.T) {
	for _, c := range conversations(t) {
		if c.name != "mariadb-10.11-mariadb-cli" {
			continue
		}
		r := &follower{t: t, left: c.packets}
		r.login()
		r.commands()
		var got []string
		for _, o := range r.oks {
			it := SessionChangesOf(o.SessionState)
			for change, ok := it.Next(); ok; change, ok = it.Next() {
				got = append(got, strings.TrimSpace(change.Kind.String()+" "+string(change.Name)+"="+string(change.Value)))
			}
		}
		want := []string{
			"STATE_CHANGE =1", "TRANSACTION_STATE =________", "TRANSACTION_CHARACTERISTICS =",
			"SCHEMA =shop", "STATE_CHANGE =1",
			"SYSTEM_VARIABLES autocommit=OFF", "SYSTEM_VARIABLES time_zone=+01:00", "STATE_CHANGE =1",
			"SYSTEM_VARIABLES autocommit=ON", "STATE_CHANGE =1",
			"TRANSACTION_STATE =T_______", "TRANSACTION_CHARACTERISTICS =START TRANSACTION;",
			"TRANSACTION_STATE =T_R_W_S_",
			"TRANSACTION_STATE =________", "TRANSACTION_CHARACTERISTICS =",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		return
	}
	t.Fatal("no such capture")
}
