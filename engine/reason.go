package engine

import "mysqlproxy/packet"

// CloseReason is why a session ended. Its String is the field of the log line
// and the label of the metric.
type CloseReason uint8

const (
	reasonNone CloseReason = iota
	ReasonClientQuit
	ReasonClientClosed
	ReasonClientLost
	ReasonClientIdle
	ReasonClientTooSlow
	ReasonClientProtocol
	ReasonClientOldProtocol
	ReasonClientTLS
	ReasonClientHandshake
	ReasonTLSRequired
	ReasonAuthUnsafe
	ReasonAuthKey
	ReasonLoginTimeout
	ReasonLoginTooLarge
	ReasonLoginRefused
	ReasonNoBackend
	ReasonNoPrimary
	ReasonExhausted
	ReasonPoolWait
	ReasonServerRefused
	ReasonServerSilent
	ReasonServerNoTLS
	ReasonServerHandshake
	ReasonServerClosed
	ReasonServerLost
	ReasonServerGoodbye
	ReasonServerTimeout
	ReasonServerTooSlow
	ReasonServerProtocol
	ReasonScript
	ReasonNoServer
	ReasonPoolLogin
	ReasonCommandTooLarge
	ReasonShutdown
	ReasonShutdownForced
	ReasonMaintenance
	ReasonInternal
	ReasonAdminKill
	reasons // their number
)

// Fault is whose doing the end of a session was.
type Fault uint8

const (
	FaultNobody Fault = iota // an end in order
	FaultClient
	FaultServer
	FaultProxy
)

// reasonTable has what is to be known of each reason. A client is told by an
// ERR where one can stand in the protocol; code 0 tells it nothing, as a server
// would not.
var reasonTable = [reasons]struct {
	name  string
	fault Fault
	code  uint16
	state string
	text  string
}{
	reasonNone:              {name: "none"},
	ReasonClientQuit:        {name: "client_quit"},
	ReasonClientClosed:      {name: "client_closed"},
	ReasonClientLost:        {name: "client_lost", fault: FaultClient},
	ReasonClientIdle:        {name: "client_idle", fault: FaultClient},
	ReasonClientTooSlow:     {name: "client_too_slow", fault: FaultClient},
	ReasonClientProtocol:    {"client_protocol", FaultClient, 1835, "HY000", "Malformed communication packet."},
	ReasonClientOldProtocol: {"client_old_protocol", FaultClient, 2007, "", "4.0 protocol is not supported"},
	ReasonClientTLS:         {"client_tls", FaultClient, 3159, "HY000", "(proxy) this address does not offer TLS; connect without it (--ssl-mode=DISABLED, --skip-ssl)"},
	ReasonClientHandshake:   {name: "client_handshake", fault: FaultClient},
	ReasonTLSRequired:       {"tls_required", FaultClient, 3159, "HY000", "(proxy) this address takes connections with TLS only; connect with it (--ssl-mode=REQUIRED, --ssl)"},
	ReasonAuthUnsafe:        {"auth_unsafe", FaultProxy, 1105, "HY000", "(proxy) the account's plugin would send the password readable to the backend; set --backend-tls=same or require, and have TLS at the backend"},
	ReasonAuthKey:           {"auth_key", FaultClient, 1045, "28000", "(proxy) the password is not encrypted for the proxy's key; connect with TLS, or have the client ask for the key"},
	ReasonLoginTimeout:      {name: "login_timeout", fault: FaultClient},
	ReasonLoginTooLarge:     {"login_too_large", FaultClient, 1153, "08S01", "(proxy) the login packet is longer than 128 KiB"},
	ReasonLoginRefused:      {name: "login_refused", fault: FaultClient},
	ReasonNoBackend:         {"no_backend", FaultServer, 1105, "", "(proxy) all backends are down"},
	// Drivers and frameworks take 2013, by its number, and SQLSTATE class 08 for a
	// connection that is lost and a statement that may be tried again.
	ReasonNoPrimary:       {"no_primary", FaultServer, 2013, "08S01", "(proxy) Lost connection: no server took writes within --failover-wait"},
	ReasonExhausted:       {"proxy_exhausted", FaultProxy, 1040, "08004", "(proxy) out of file descriptors or ports for a connection to the backend"},
	ReasonPoolWait:        {"pool_wait", FaultProxy, 1040, "08004", "(proxy) too many connections: the backend has as many as --pool-max-sessions allows, and none became free within --pool-wait"},
	ReasonServerRefused:   {name: "server_refused", fault: FaultServer},
	ReasonServerSilent:    {"server_silent", FaultServer, 1105, "HY000", "(proxy) the backend accepted the connection and sent no greeting"},
	ReasonServerNoTLS:     {"server_no_tls", FaultServer, 2026, "HY000", "(proxy) the backend does not offer TLS and --backend-tls requires it; set --backend-tls=prefer, or TLS up at the backend"},
	ReasonServerHandshake: {"server_handshake", FaultServer, 2026, "HY000", "(proxy) the TLS handshake with the backend failed, the proxy's log says why; see --backend-tls and --backend-tls-ca"},
	ReasonServerClosed:    {name: "server_closed"},
	ReasonServerLost:      {"server_lost", FaultServer, 2013, "HY000", "Lost connection to backend server during query"},
	ReasonServerGoodbye:   {name: "server_goodbye"},
	ReasonServerTimeout:   {"server_timeout", FaultServer, 2013, "HY000", "(proxy) the backend sent nothing within --proxy-read-timeout"},
	ReasonServerTooSlow:   {"server_too_slow", FaultServer, 2013, "HY000", "(proxy) the backend took nothing within --proxy-write-timeout"},
	ReasonServerProtocol:  {"server_protocol", FaultServer, 2027, "HY000", "(proxy) the backend sent a packet that does not belong here"},
	ReasonScript:          {name: "script"},
	ReasonNoServer:        {"no_server", FaultProxy, 2013, "HY000", "(proxy) the script has left no backend connection for this command"},
	ReasonPoolLogin:       {"pool_login", FaultClient, 1045, "28000", "(proxy-pool) login failed"},
	ReasonCommandTooLarge: {"command_too_large", FaultClient, 1153, "08S01", "(proxy) a command of more than 64 MiB cannot be given to a script"},
	ReasonShutdown:        {"shutdown", FaultNobody, 1053, "08S01", "Server shutdown in progress"},
	ReasonShutdownForced:  {"shutdown_forced", FaultProxy, 1053, "08S01", "Server shutdown in progress"},
	ReasonMaintenance:     {"maintenance", FaultProxy, 1053, "08S01", "(proxy) the server is taken out of service; connect again"},
	ReasonInternal:        {"internal", FaultProxy, 1105, "HY000", "(proxy) internal error, see the proxy's log"},
	ReasonAdminKill:       {"admin_kill", FaultNobody, 1317, "70100", "(proxy) the session was killed by an operator"},
}

func (r CloseReason) String() string { return reasonTable[r].name }

// Fault is whose doing it was.
func (r CloseReason) Fault() Fault { return reasonTable[r].fault }

// tells says whether the client is told of the reason at all.
func (r CloseReason) tells() bool { return reasonTable[r].code != 0 }

// appendERR appends the ERR packet that tells a client of r. Before the login
// packet a client expects the form without an SQLSTATE.
func (r CloseReason) appendERR(dst []byte, seq byte, greeted bool) []byte {
	t := &reasonTable[r]
	state := t.state
	if !greeted {
		state = ""
	}
	return packet.AppendPacket(dst, seq, packet.AppendERR(nil, t.code, state, t.text))
}
