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
// gnet's own Conn and engine are not used: they have no way to stop reading,
// drop unsent bytes at close, call handlers within a handler's write, and end
// all loops when accept fails.
package reactor
