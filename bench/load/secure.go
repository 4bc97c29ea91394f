package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"time"
)

// TLS by crypto/tls over a connection in memory. The handshake is a coroutine:
// it stops where it wants bytes that are not there and goes on when they are.
// Behind it a Read without bytes is a temporary error, which ends nothing.

// tlsMode is where TLS begins.
type tlsMode string

const (
	tlsNone  tlsMode = ""
	tlsMySQL tlsMode = "mysql" // behind the greeting and the client's SSL request
	tlsRaw   tlsMode = "raw"   // at the first byte; the greeting comes inside of it
)

// newTLSConfig is TLS 1.3 without resumption, with one way to exchange keys and a
// server that must show exactly the certificate in the PEM file cert.
func newTLSConfig(cert string, hybrid bool) (*tls.Config, error) {
	text, err := os.ReadFile(cert)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s has no certificate", cert)
	}
	curve := tls.X25519
	if hybrid {
		curve = tls.X25519MLKEM768
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{curve},
		InsecureSkipVerify: true, // no chain and no name: the certificate itself is known
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			if len(raw) == 0 || !bytes.Equal(raw[0], block.Bytes) {
				return errors.New("another certificate than " + cert)
			}
			return nil
		},
	}, nil
}

// secure is the TLS of a connection, and the net.Conn that its tls.Conn has.
type secure struct {
	tls  *tls.Conn
	in   []byte // received and not decrypted yet; borrowed
	out  []byte // encrypted and not sent yet
	up   bool   // the handshake is over
	next func() (error, bool)
	stop func()
	wait func() bool // stops the handshake until next; false: for ever
}

func newSecure(cfg *tls.Config) *secure {
	s := &secure{}
	s.tls = tls.Client(s, cfg)
	s.next, s.stop = iter.Pull(func(yield func(error) bool) {
		s.wait = func() bool { return yield(errNoBytes) }
		yield(s.tls.Handshake())
	})
	return s
}

// startTLS begins the handshake.
func (c *conn) startTLS() error {
	c.state = stateTLS
	c.sec = newSecure(c.r.tlsConfig)
	return c.handshake()
}

// handshake goes on with it as far as what was received will do.
func (c *conn) handshake() error {
	err, _ := c.sec.next()
	if flushed := c.flush(); flushed != nil {
		return flushed
	}
	if err == errNoBytes {
		return nil
	}
	if err != nil {
		return fmt.Errorf("TLS handshake: %w", err)
	}
	c.sec.up = true
	t := c.sec.tls.ConnectionState()
	if t.DidResume {
		return errors.New("a TLS session was resumed")
	}
	c.r.report.TLS = fmt.Sprintf("%s, %s, %s", tls.VersionName(t.Version), tls.CipherSuiteName(t.CipherSuite), t.CurveID)
	if c.r.tls == tlsRaw {
		c.state = stateGreeting
		return nil
	}
	c.state = stateAuth
	return c.send(c.login)
}

// decrypt takes what was received.
func (c *conn) decrypt(b []byte) error {
	s := c.sec
	s.in = b
	if !s.up {
		if err := c.handshake(); err != nil || !s.up {
			return err
		}
	}
	for {
		n, err := s.tls.Read(c.r.clear[:])
		switch {
		case err == errNoBytes:
			return c.flush() // a change of keys may have to be answered
		case err != nil:
			return fmt.Errorf("TLS: %w", err)
		}
		// What is taken may be the last of this connection, and the slot have another.
		if c.arrived(c.r.clear[:n]); c.sec != s || c.state == stateClosed {
			return nil
		}
	}
}

// encrypt sends b, as one record.
func (c *conn) encrypt(b []byte) error {
	if _, err := c.sec.tls.Write(b); err != nil {
		return fmt.Errorf("TLS: %w", err)
	}
	return c.flush()
}

func (c *conn) flush() error {
	s := c.sec
	if len(s.out) == 0 {
		return nil
	}
	err := c.put(s.out)
	s.out = s.out[:0]
	return err
}

// Read is for tls.
func (s *secure) Read(p []byte) (int, error) {
	for len(s.in) == 0 {
		if s.up {
			return 0, errNoBytes
		}
		if !s.wait() {
			return 0, net.ErrClosed
		}
	}
	n := copy(p, s.in)
	s.in = s.in[n:]
	return n, nil
}

// Write is for tls.
func (s *secure) Write(p []byte) (int, error) {
	s.out = append(s.out, p...)
	return len(p), nil
}

func (s *secure) LocalAddr() net.Addr              { return nil }
func (s *secure) RemoteAddr() net.Addr             { return nil }
func (s *secure) Close() error                     { return nil }
func (s *secure) SetDeadline(time.Time) error      { return nil }
func (s *secure) SetReadDeadline(time.Time) error  { return nil }
func (s *secure) SetWriteDeadline(time.Time) error { return nil }

// noBytes is a temporary net.Error, which crypto/tls passes on and forgets.
type noBytes struct{}

func (noBytes) Error() string   { return "no bytes yet" }
func (noBytes) Timeout() bool   { return true }
func (noBytes) Temporary() bool { return true }

var errNoBytes error = noBytes{}
