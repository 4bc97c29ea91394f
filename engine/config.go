package engine

import (
	"crypto/rsa"
	"crypto/tls"
	"log/slog"
	"time"

	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/packet"
)

// LevelMessage is MySQL Proxy's log level "message", which slog has no name
// for. The others are slog.LevelDebug (debug), LevelInfo (info), LevelWarn
// (warning) and LevelError (critical).
const LevelMessage = slog.LevelInfo + 2

// Config is what an Engine runs with. It is complete: a zero duration is a
// time-out of zero, not a default (the defaults are the options' own).
type Config struct {
	Listen   []reactor.Addr  // where clients connect; port 0 takes any free one
	Backends []BackendConfig // read/write ones first, then read-only ones

	// Loops is the number of event loops (--event-threads). At least 1.
	Loops int

	ConnectTimeout  time.Duration // a connect to a backend: then it is DOWN and the next is tried
	LoginTimeout    time.Duration // from accept to the end of the login
	ReadTimeout     time.Duration // a client that is idle, or a response that does not come
	WriteTimeout    time.Duration // a peer that takes nothing of what waits for it
	ShutdownTimeout time.Duration // running commands and transactions at Shutdown

	// Scripts makes the script engine, if there is a script.
	Scripts func(hook.Global) (hook.Scripts, error)
	// PoolNoChangeUser compares a client's login with that of the pooled
	// session it was given, in place of a COM_CHANGE_USER
	// (--proxy-pool-no-change-user).
	PoolNoChangeUser bool

	// Split has a session that no script steers read from read-only backends where
	// that is safe. Without any, such a session can still go on at another
	// read/write backend when its own has died (move.go).
	Split bool
	// Consistency is what such a read sees (--consistency).
	Consistency Consistency

	// Failover is which of several read/write backends is taken (--failover), and
	// FailoverWait for how long clients, but for those of a script, wait while there
	// is none (--failover-wait); 0: not at all.
	Failover     Failover
	FailoverWait time.Duration

	// Multiplex has a session that splits give its server sessions to others while
	// it is idle, after MultiplexDelay, where nothing of it is lost by that
	// (--multiplex).
	Multiplex      bool
	MultiplexDelay time.Duration
	// Pool bounds the sessions with backends.
	Pool PoolConfig
	// Auth says how the proxy comes to own what it needs to log in itself as a
	// client's user, if Split is set or there are Scripts. AuthRelay and AuthAuto
	// need PasswordKey.
	Auth AuthMode
	// Users looks a user up in the users-file; nil without one. Hashes are the
	// packet.NativeHash that the read/write backend has for a user, from whatever
	// host; nil if nobody asks it. Both are called on the loops and must not block.
	Users  func(user string) (UserSecret, bool)
	Hashes func(user string) [][20]byte

	// ClientTLS says whether clients may or must speak TLS (--proxy-tls). Unless
	// it is TLSOff, ClientTLSConfig is what they are met with.
	ClientTLS       TLSMode
	ClientTLSConfig *tls.Config
	// BackendTLS says which sessions with backends speak TLS (--backend-tls).
	// Unless it is TLSOff, BackendTLSConfig makes the client side's
	// configuration for a backend; it says how the certificate is verified.
	BackendTLS       TLSMode
	BackendTLSConfig func(BackendConfig) *tls.Config
	// PasswordKey is the key that a client without TLS may encrypt its password
	// for, where the backend's session is safe and so has none. It is called on
	// a goroutine of its own and may take long; nil: there is no such key.
	PasswordKey func() *rsa.PrivateKey

	// ClientCompression is what clients may ask for, of packet.CapCompress and
	// packet.CapZstd. BackendCompression is what backends that can are asked
	// for, one of them or 0.
	ClientCompression, BackendCompression packet.Capability
	// ZlibLevel and ZstdLevel are the levels of what the proxy compresses, and
	// ZstdLevel what backends are asked for: 1 to 9, and 1 to 22.
	ZlibLevel, ZstdLevel int

	// Health says how backends are probed; nil: not at all.
	Health *HealthConfig

	// Digests says what is counted by statement (--digests).
	Digests DigestMode

	// Admin is the admin plugin, nil without it.
	Admin func(hook.Global) (*AdminConfig, error)

	Version string // of the program, for Figures

	Log *slog.Logger
}

// BackendConfig is one configured server.
type BackendConfig struct {
	Addr reactor.Addr
	// Host is how its host was given, for a certificate to be compared with; empty
	// for a socket.
	Host     string
	ReadOnly bool // from --proxy-read-only-backend-addresses
	// Weight is the share of reads that a read-only backend gets next to others.
	// Below 1 it is 1.
	Weight int
}

// Consistency is what a read at a read-only backend sees.
type Consistency uint8

// The consistencies.
const (
	ConsistencySession Consistency = iota // at least what its own session has written
	ConsistencyNone                       // what is there
	ConsistencyGlobal                     // all that the primary had acknowledged before it began, to whomever
)

// TLSMode says which sessions speak TLS.
type TLSMode uint8

// The modes. How a backend's certificate is verified is up to the
// configuration and no mode.
const (
	TLSOff     TLSMode = iota
	TLSPrefer          // where the other side can
	TLSRequire         // all; the others are refused
	// TLSSame, for backends only: those of clients that speak it. Both ways are
	// then as safe as the client wanted its own, and every plugin finds the
	// same on both sides.
	TLSSame
)
