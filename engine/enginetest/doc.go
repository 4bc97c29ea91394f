// Package enginetest has doubles for tests of the data plane: peers that follow
// a script, and wires that split, stall and reset.
//
//	Conn         one end of a connection, with deadlines       conn.go
//	Step         one thing that a peer does, with a name       step.go
//	Server       listens, and has a script for each connection server.go
//	payloads     greetings, logins, results, as servers send   payload.go
//	Identity     a certificate, which may issue others         certificate.go
//	Lease        a port, for as long as a test needs it        port.go
//	DriverLogin  a login by go-sql-driver                      driver.go
//	Wire         relays bytes, in pieces that a seed decides   wire.go
//
// A script is a list of steps that a peer takes one after the other, on real
// sockets. The first that goes wrong ends it; its error has the peer's name,
// the step's number and the step's name.
package enginetest
