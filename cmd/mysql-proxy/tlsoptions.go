package main

import "errors"

// The options of TLS and compression: their rows of the table, and what does
// not go together.

var tlsOptions = []option{
	{long: "proxy-tls", live: true, kind: stringKind, arg: "HOW", def: "prefer", group: "proxy",
		choices: []string{"off", "prefer", "require"},
		help:    "TLS with clients, of the admin port too; off: it is not on offer; prefer: it is up to the client; require: clients without it are refused",
		dst:     func(s *settings) any { return &s.ProxyTLS }},
	{long: "proxy-tls-cert", live: true, kind: fileKind, arg: "FILE", group: "proxy", defText: "self-made at each start",
		help: "certificate that clients see, PEM, the chain behind it; read again when it changes, as are all files of TLS",
		dst:  func(s *settings) any { return &s.ProxyTLSCert }},
	{long: "proxy-tls-key", live: true, kind: fileKind, arg: "FILE", group: "proxy",
		help: "private key of proxy-tls-cert, PEM, not encrypted",
		dst:  func(s *settings) any { return &s.ProxyTLSKey }},
	{long: "proxy-tls-ca", live: true, kind: fileKind, arg: "FILE", group: "proxy",
		help: "certificates, PEM, of the authorities that clients' certificates come from",
		dst:  func(s *settings) any { return &s.ProxyTLSCA }},
	{long: "proxy-tls-client-cert", live: true, kind: stringKind, arg: "HOW", def: "off", group: "proxy",
		choices: []string{"off", "optional", "require"},
		help:    "certificates of clients; off: not asked for; optional: one that is shown must be good; require: every client must show a good one",
		dst:     func(s *settings) any { return &s.ProxyTLSClientCert }},
	{long: "proxy-tls-min-version", live: true, kind: stringKind, arg: "VERSION", def: "1.2", group: "proxy",
		choices: []string{"1.2", "1.3"},
		help:    "oldest version of TLS that clients may speak: 1.2 or 1.3",
		dst:     func(s *settings) any { return &s.ProxyTLSMinVersion }},
	{long: "proxy-rsa-key", live: true, kind: fileKind, arg: "FILE", group: "proxy", defText: "self-made when first needed",
		help: "RSA private key, PEM, at least 2048 bits, for passwords of clients without TLS whose connection to the server has it (caching_sha2_password, sha256_password)",
		dst:  func(s *settings) any { return &s.ProxyRSAKey }},
	{long: "backend-tls", live: true, kind: stringKind, arg: "HOW", def: "same", group: "proxy",
		choices: []string{"same", "off", "prefer", "require", "verify-ca", "verify-identity"},
		help:    "TLS with servers; same: for clients that have it themselves, and only for them, where the server has it; off: never; prefer: where the server has it; require: always, whoever the server is; verify-ca: always, and backend-tls-ca must have issued the server's certificate; verify-identity: and it must be for the host as it is given here. Unix sockets never use it",
		dst:     func(s *settings) any { return &s.BackendTLS }},
	{long: "backend-tls-ca", live: true, kind: fileKind, arg: "FILE", group: "proxy", defText: "for verify-identity those of the system",
		help: "certificates, PEM, of the authorities that servers' certificates come from",
		dst:  func(s *settings) any { return &s.BackendTLSCA }},
	{long: "backend-tls-cert", live: true, kind: fileKind, arg: "FILE", group: "proxy",
		help: "certificate that the proxy shows to servers that ask for one (REQUIRE X509), PEM",
		dst:  func(s *settings) any { return &s.BackendTLSCert }},
	{long: "backend-tls-key", live: true, kind: fileKind, arg: "FILE", group: "proxy",
		help: "private key of backend-tls-cert, PEM, not encrypted",
		dst:  func(s *settings) any { return &s.BackendTLSKey }},
}

// zlib's levels and zstd's differ in what they mean and in how far they go, and
// one proxy may use both: hence two options.
var compressionOptions = []option{
	{long: "proxy-compression", live: true, kind: stringKind, arg: "HOW", def: "zlib,zstd", group: "proxy",
		choices: []string{"off", "zlib", "zstd"}, list: true,
		help: "compression that clients may ask for: off, zlib, zstd, or both; nothing is compressed for a client that does not ask",
		dst:  func(s *settings) any { return &s.ProxyCompression }},
	{long: "backend-compression", live: true, kind: stringKind, arg: "HOW", def: "off", group: "proxy",
		choices: []string{"off", "zlib", "zstd"},
		help:    "compression with servers that have it, whatever the client uses: off, zlib or zstd; for servers that are far away",
		dst:     func(s *settings) any { return &s.BackendCompression }},
	{long: "zlib-level", live: true, kind: intKind, arg: "N", def: "1", group: "proxy", low: 1, high: 9,
		help: "how hard zlib tries, 1 to 9",
		dst:  func(s *settings) any { return &s.ZlibLevel }},
	{long: "zstd-level", live: true, kind: intKind, arg: "N", def: "3", group: "proxy", low: 1, high: 22,
		help: "how hard zstd tries, 1 to 22; the proxy's own has four steps (1, 4, 8 and 16 up), servers are asked for the number itself",
		dst:  func(s *settings) any { return &s.ZstdLevel }},
}

// checkTLS refuses options of TLS that do not go together, above all those with
// which something would be less safe than they look.
func (s *settings) checkTLS() error {
	verifies := s.BackendTLS == "verify-ca" || s.BackendTLS == "verify-identity"
	switch {
	case (s.ProxyTLSCert == "") != (s.ProxyTLSKey == ""):
		return errors.New("--proxy-tls-cert and --proxy-tls-key go together; give both, or none for a self-made certificate")
	case s.ProxyTLSClientCert != "off" && s.ProxyTLSCA == "":
		return errors.New("--proxy-tls-client-cert=" + s.ProxyTLSClientCert + " needs --proxy-tls-ca, the authorities that clients' certificates come from")
	case s.ProxyTLSClientCert == "off" && s.ProxyTLSCA != "":
		return errors.New("--proxy-tls-ca has no use as long as clients are not asked for certificates; give --proxy-tls-client-cert=optional or require, or leave it out")
	case s.ProxyTLSClientCert == "require" && s.ProxyTLS != "require":
		return errors.New("--proxy-tls-client-cert=require is got around by clients without TLS; give --proxy-tls=require as well, or --proxy-tls-client-cert=optional")
	case (s.BackendTLSCert == "") != (s.BackendTLSKey == ""):
		return errors.New("--backend-tls-cert and --backend-tls-key go together; give both or none")
	case s.BackendTLS == "verify-ca" && s.BackendTLSCA == "":
		return errors.New("--backend-tls=verify-ca needs --backend-tls-ca, the authorities that servers' certificates come from")
	case s.BackendTLSCA != "" && !verifies:
		return errors.New("--backend-tls-ca verifies nothing with --backend-tls=" + s.BackendTLS + "; give --backend-tls=verify-ca or verify-identity, or leave it out")
	}
	return nil
}
