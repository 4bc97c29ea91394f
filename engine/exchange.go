package engine

import "mysqlproxy/packet"

// exchange is a command and the response that is expected for it.
type exchange struct {
	packet.Request
	seq byte // sequence id of the command's last packet: the response starts one above

	// Of a session that splits.
	own    own  // what it is for, if it is the proxy's own
	writes bool // it may write

	counted
}

// pipeline is how many commands a client may have outstanding before it is not
// read from any more. Drivers send up to about a hundred at once; the rest
// waits in the socket, as it would at a server, which reads one at a time.
const pipeline = 16

// exchanges are the outstanding ones of a server session, in order. A response
// always belongs to the one at the head.
type exchanges struct {
	ring [pipeline]exchange
	head uint8
	n    uint8
}

func (q *exchanges) empty() bool { return q.n == 0 }
func (q *exchanges) full() bool  { return q.n == pipeline }

// first is the exchange whose response comes next; there is one.
func (q *exchanges) first() *exchange { return &q.ring[q.head] }

// last is the exchange whose command was sent last; there is one.
func (q *exchanges) last() *exchange { return &q.ring[(q.head+q.n-1)%pipeline] }

// at is the i-th exchange from the head, from 0; there is one.
func (q *exchanges) at(i uint8) *exchange { return &q.ring[(q.head+i)%pipeline] }

func (q *exchanges) push(e exchange) {
	q.ring[(q.head+q.n)%pipeline] = e
	q.n++
}

func (q *exchanges) pop() {
	q.head = (q.head + 1) % pipeline
	q.n--
}
