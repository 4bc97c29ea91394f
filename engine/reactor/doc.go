// Package reactor is the event loops under the proxy. It knows sockets and
// bytes, and nothing of MySQL.
//
// A Loop is one goroutine around one poller of gnet (pkg/netpoll: epoll). It
// owns its connections, its timers and its clock: nothing of them has a lock,
// and only Loop.Post may be called from elsewhere.
//
//	listen.go   one place accepts, and gives each connection to the loop with the fewest
//	dial.go     connects without blocking, with a time-out
//	loop.go     event -> Conn.ready -> settle: interest, redelivery, closing
//	conn.go     one socket: what was read and not used, what was written and not sent
//	turn.go     what an event does to it: read, deliver, flush, settle
//	queue.go    the bytes that the kernel did not take yet
//	layer.go    what may stand between socket and handler, and the turns of it
//	tls.go      TLS on the loop: records in, records out
//	handshake.go  its handshake, on a goroutine
//	codec.go    the handler's own translation above that, such as compression
//	later.go    what is put off until the others have had their turn
//	wheel.go    timers, 100 ms fine
//	socket.go   the system calls
//	addr.go, resolve.go   addresses
//
// The way of the bytes: a readable socket is read into the loop's own buffer,
// once per event; the handler gets a borrowed slice of it and says how much it
// has used, and only the rest is copied. What the handler writes goes straight
// to the kernel; only what the kernel does not take is copied. So an idle
// connection holds no buffer, and a busy one usually neither.
//
// Back-pressure: Link joins two connections that feed each other. Reading from
// one stops while more than highMark bytes wait for the other to take them,
// and resumes below lowMark. So the memory of a slow reader is bounded by the
// high mark and one read.
//
// Layers: StartTLS and SetCodec put TLS and a Codec between socket and handler,
// at any byte of the stream, and change nothing of the above for the handler:
//
//	socket <-> TLS <-> Codec <-> Handler
//
// A plain connection pays one comparison for their being possible. With them
// the bytes are read into a scratch of the loop, decrypted and decoded into the
// loop's buffer, and delivered from there, in pieces: a handler that pauses
// between two keeps the rest where it is, not decrypted, one read at most. What
// one event writes becomes few full records and one system call at its end. A
// turn delivers a bounded number of bytes, so that a codec that makes much of
// little delays no other connection. TLS is crypto/tls on a connection in
// memory; its handshake is a goroutine's work, a few at once, and comes back by
// Post. A small message costs one allocation of 24 bytes, of crypto/tls.
//
// gnet's own Conn and engine are not used: they have no way to stop reading,
// drop unsent bytes at close, call handlers within a handler's write, and end
// all loops when accept fails.
package reactor
