package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"mysqlproxy/engine/enginetest"
)

// watchText watches two files whose value is their text. It must not be "bad".
func watchText(t *testing.T, log *slog.Logger, names ...string) *watched[string] {
	t.Helper()
	var files []watchedFile
	for _, name := range names {
		files = append(files, watchedFile{option: "some-option", name: name})
	}
	w, err := watch(log, func(texts [][]byte) (*string, error) {
		text := string(bytes.Join(texts, []byte("+")))
		if bytes.Contains([]byte(text), []byte("bad")) {
			return nil, errors.New("--some-option: it is bad")
		}
		return &text, nil
	}, files...)
	if err != nil {
		t.Fatal(err)
	}
	w.pause = 0
	return w
}

func TestFilesThatChangeAreReadAgain(t *testing.T) {
	files := newSecrets(t)
	lines, log := newLogLines()
	w := watchText(t, log, files.put("a", []byte("1")), files.put("b", []byte("2")))
	const changed, bad, missing = "(message) changed and read again: ", "(critical) --some-option: it is bad; what was read before stays in use", "(critical) --some-option: cannot read"
	for _, step := range []struct {
		name               string
		do                 func()
		want               string
		changed, bad, gone int // lines so far
	}{
		{"nothing", func() {}, "1+2", 0, 0, 0},
		{"another text of the same length", func() { files.put("a", []byte("3")) }, "3+2", 1, 0, 0},
		{"the second file", func() { files.put("b", []byte("4")) }, "3+4", 2, 0, 0},
		{"a bad one", func() { files.put("a", []byte("bad")) }, "3+4", 2, 1, 0},
		{"it is still bad", func() {}, "3+4", 2, 1, 0},
		{"good again", func() { files.put("a", []byte("5")) }, "5+4", 3, 1, 0},
		{"bad again", func() { files.put("a", []byte("bad")) }, "5+4", 3, 2, 0},
		{"gone", func() { os.Remove(files.dir + "/a") }, "5+4", 3, 2, 1},
		{"still gone", func() {}, "5+4", 3, 2, 1},
		{"back", func() { files.put("a", []byte("5")) }, "5+4", 4, 2, 1},
		{"gone once more", func() { os.Remove(files.dir + "/a") }, "5+4", 4, 2, 2},
		{"as it was", func() { files.put("a", []byte("5")) }, "5+4", 4, 2, 2},
	} {
		step.do()
		if got := *w.get(); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
		if a, b, c := lines.count(changed), lines.count(bad), lines.count(missing); a != step.changed || b != step.bad || c != step.gone {
			t.Errorf("%s: %d lines of a change, %d of a bad file, %d of a missing one; want %d, %d, %d:\n%q", step.name, a, b, c, step.changed, step.bad, step.gone, lines.lines)
		}
	}
}

func TestFilesAreNotLookedAtAllTheTime(t *testing.T) {
	files := newSecrets(t)
	w := watchText(t, slog.New(slog.DiscardHandler), files.put("a", []byte("1")))
	w.pause = time.Hour
	files.put("a", []byte("2"))
	if got := *w.get(); got != "1" {
		t.Errorf("it is looked at within the pause: %s", got)
	}
	w.looked = time.Now().Add(-2 * time.Hour)
	if got := *w.get(); got != "2" {
		t.Errorf("it is not looked at after the pause: %s", got)
	}
}

// Whoever comes while another looks at the files does not wait.
func TestNobodyWaitsForFiles(t *testing.T) {
	files := newSecrets(t)
	w := watchText(t, slog.New(slog.DiscardHandler), files.put("a", []byte("1")))
	w.mu.Lock()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if got := *w.get(); got != "1" {
				t.Errorf("got %s", got)
			}
		})
	}
	all.Wait()
	w.mu.Unlock()
}

// A certificate that is renewed is shown by the next handshake, and tickets of
// before are still good.
func TestRenewedCertificate(t *testing.T) {
	files := newSecrets(t)
	ca := enginetest.NewAuthority("ca")
	first, second := ca.Named("db"), ca.Named("db")
	lines, log := newLogLines()
	s := tlsSettings(t, "--proxy-tls-cert="+files.put("cert", first.CertPEM()), "--proxy-tls-key="+files.put("key", first.KeyPEM()))
	server, err := clientTLS(s, nil, newKept(), log)
	if err != nil {
		t.Fatal(err)
	}
	shown := func(client *tls.Config) tls.ConnectionState {
		t.Helper()
		state, err := shake(client, server)
		if err != nil {
			t.Fatal(err)
		}
		return state
	}
	returning := careless()
	returning.ServerName, returning.ClientSessionCache = "db", tls.NewLRUClientSessionCache(0)
	if got := shown(returning); !got.PeerCertificates[0].Equal(first.Cert) || got.DidResume {
		t.Error("the first handshake is not with the first certificate")
	}
	files.put("cert", second.CertPEM())
	files.put("key", second.KeyPEM())
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if shown(careless()).PeerCertificates[0].Equal(second.Cert) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the new certificate is not shown; log %q", lines.lines)
		}
	}
	if got := shown(returning); !got.DidResume {
		t.Error("a ticket of before is not taken")
	}
	files.put("key", first.KeyPEM()) // does not fit
	for deadline := time.Now().Add(time.Minute); lines.count("(critical) --proxy-tls-cert and --proxy-tls-key: ", "stays in use") == 0; time.Sleep(50 * time.Millisecond) {
		if !shown(careless()).PeerCertificates[0].Equal(second.Cert) {
			t.Fatal("a broken pair has taken the certificate away")
		}
		if time.Now().After(deadline) {
			t.Fatalf("a broken pair is not logged: %q", lines.lines)
		}
	}
}
