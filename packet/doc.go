// Package packet is MySQL's and MariaDB's wire protocol, as pure functions and
// small state machines over bytes. It knows no socket, no time, no backend and
// no log, and keeps nothing of what it is given.
//
// In the order in which a connection meets them:
//
//	frame.go         packets in a stream: header, payload, continuation
//	lenenc.go        length-encoded integers and strings, ErrMalformed
//	capability.go    what a client and a server can do, and what is in force between them
//	greeting.go      the server's first packet
//	login.go         the client's reply to it, and the SSL request
//	auth.go          the dialogue that may follow; COM_CHANGE_USER; mysql_native_password
//	auth_sha2.go     caching_sha2_password and sha256_password: responses, RSA
//	auth_ed25519.go  client_ed25519 and parsec: signatures
//	authenticate.go  the client side of the dialogue, for who owns a password
//	command.go       the commands and the kind of response each one gets
//	execute.go       COM_STMT_EXECUTE, read and written
//	response.go      follows a response through the stream without reading it
//	reply.go         OK, EOF, ERR, progress reports, COM_STMT_PREPARE_OK
//	sessionstate.go  what an OK tells of the session: schema, variables, transaction, GTIDs
//	column.go        column counts and definitions
//	row.go           text and binary rows, value by value
//	value.go         a value in binary form, and its text
//	compress.go      the compressed protocol, which wraps all of it once a login is through
//
// And of what goes through it:
//
//	sql.go           where a statement may run, and what it does to its session
//
// # Conventions
//
// Parse functions take a whole payload, without header. What they return borrows
// it: it is valid as long as the payload is, and whoever keeps it copies it.
// Append functions write a payload, without header, behind dst; AppendPacket
// puts headers before it. Neither allocates, given room in dst. For whatever
// Parse takes, Append writes a payload that parses to the same.
//
// The peer is taken for hostile. No payload makes anything here panic, read
// outside of it, or allocate by a length that the payload only claims. What
// cannot be is ErrMalformed; what real clients and servers leave out, add, or
// do in another way than documented is taken as they mean it, and the function
// that does so says so.
//
// Compressed alone holds bytes from one call to the next, in copies, and has its
// compressors from pools that the whole process shares; its error is
// ErrCompression.
//
// Where a layout depends on capabilities, the functions want those in force,
// Effective(server, client): clients claim flags that the server did not offer
// and then go by the server's.
//
// # Sources
//
// The layouts are those of the public protocol documentation of MySQL
// (dev.mysql.com, "MySQL Client/Server Protocol") and of MariaDB (mariadb.com,
// "Clients & Connectors: Client/Server Protocol"), corrected by what servers
// and clients were seen to send. testdata has conversations that were captured
// between real ones; each file's head line says which. The tests parse every
// packet of them and write it again byte for byte.
package packet
