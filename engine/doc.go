// Package engine is the data plane: it takes clients' sessions to servers and
// the servers' responses back.
//
//	client socket                                                     server socket
//	   | readable                                                           ^
//	   v                                                                    |
//	client.Data --> packet.Cursor, packet.Expect --> exchange pushed --> conn.Write
//	                                                    |
//	conn.Write <-- server.Data <-- packet.Response.Feed of the exchange at the head
//	   |                                                                    ^
//	   v                                                                    | readable
//	client socket                                                     server socket
//
// What goes to the same place goes in one Write of one slice of the loop's read
// buffer: only headers and a few first bytes are looked at, the rest passes as
// a count, and nothing is copied unless a socket takes less than it is given.
//
//	engine.go    Engine: loops, listeners, start and stop
//	config.go    what it runs with; live.go and reload.go: while it runs
//	loop.go      loop: the sessions of one event loop, and how they drain
//	backend.go   Backend: a configured server, its state, which one is taken
//	client.go    client: the session with a client
//	server.go    server: the session with a backend
//	login.go     the login of both, up to the command phase
//	auth.go      auth: its dialogue, translated where one side is TLS and one is not
//	changeuser.go the same for a COM_CHANGE_USER
//	identity.go  what the proxy owns of a client, to log in as its user elsewhere
//	identityrelay.go how it comes to own it, in the dialogue of auth.go
//	ownlogin.go  a login of the proxy's own: a second server session for a client
//	tls.go       which side speaks TLS; the reactor does
//	compress.go  which side compresses, and the sequence ids there
//	exchange.go  exchange: a command and the response that is expected
//	reason.go    CloseReason: why a session ends, and what its client is told
//	digest.go    commands counted by their statement; digestask.go asks the loops
//	latencies.go how long they took
//	figures.go   what the control plane can ask; figuresask.go asks the loops,
//	             figuressum.go counts by kinds
//	events.go    Event: the last things that have happened, for the control plane
//
// What backends are fit for, and which replica is read from:
//
//	backend.go   Backend: what connects show
//	duty.go      Duty: what an operator has it do; drain.go how its sessions leave it
//	health.go    Health: what probes find
//	probe.go     prober: one for each backend, on its own goroutine
//	probeask.go  what it asks a server
//	balance.go   the choice among replicas
//	failover.go  the choice among read/write backends, and the wait while there is none
//	lost.go      what becomes of sessions with one that is silent
//
// With splitting, and no script:
//
//	split.go      splitting: where a command goes, home (the primary) or to the reader (a replica)
//	routereason.go RouteReason: why
//	state.go      what the session's reads depend on: what keeps them home, what is repeated
//	reader.go     how a reader is come by and made ready: state, the session's own writes
//	causal.go     what a read has to see: its session's writes, all writes, another session's
//	splitdata.go  the responses, and what OKs tell of the session
//	echo.go       what statements leave to be asked for: warnings, FOUND_ROWS(), ROW_COUNT()
//	prepared.go   prepared statements; execute.go where executions go; preparedthere.go at a reader;
//	              bound.go what they remember of their parameters
//	explain.go    where a statement would go
//	multiplex.go  sessions without a home: idle ones that lend it, ones whose home has died
//	slots.go      how many sessions a backend is given at most, and who waits for one
//	kill.go       KILL, by the thread that a client knows; killsession.go an operator's
//	roles.go      which server is the primary, if that may change
//	move.go       another home for a session whose own has died, or does not take writes any more
//
// With a script (engine/hook is the treaty with who runs it):
//
//	script.go    scripted: what such a session has beside, and choosing a backend
//	enroll.go    its login: fresh, pooled, or a second time for another backend
//	request.go   its commands, one at a time to the script
//	inject.go    who answers them: the server, the script, queries of its queue
//	result.go    whose the responses are, and what the script makes of them
//	pool.go      idle server sessions, and to whom they may be lent
//	wait.go      commands that wait for one
//	promise.go   sessions that the proxy opens, where none is idle
//	console.go   the admin plugin: a server without a backend, answered by a script or the console
//
// A client session and its server session live on one loop, and only that
// loop's goroutine touches them. What loops share is Backend, by atomics.
//
// Identity: the login dialogue passes between the client and the server that was
// chosen for it, whatever plugin they use, and only the server says yes or no.
// The greeting that the client sees is the server's own, less what the proxy
// cannot pass (maskedCapabilities), with what the proxy itself offers: TLS and
// compression are between it and either side. A password is read where one side may
// send it as it is and the other may not, and is gone with the login.
//
// Where reads are split (Config.Split) the proxy has to log in as the client's user
// at a second backend, and wants to own what that takes: the password, or its SHA1
// for mysql_native_password. It has it from a file, from a client that it asks as a
// server with caching_sha2_password would, or from the hashes that the server
// stores and the client's response; the greeting names that plugin then, so that
// clients show whether they can be asked. The secret is the session's and is wiped
// with it. It lets nobody in: a backend has let the client in before, and the next
// one says yes or no for itself. Without it the session's reads stay where its
// writes are.
//
// A script's sessions have one too if that was asked for. A backend that the script
// chooses without an idle session of the user in the pool has one opened then;
// otherwise the session stays where it is, as scripts have always known it.
//
// A pooled server session has been let in by a server for one user. It is lent
// to another client session of that user only once a server has let that one in
// as well, and then with COM_RESET_CONNECTION or COM_CHANGE_USER in front, so
// that no session meets what another has left behind.
package engine
