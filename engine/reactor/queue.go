package reactor

import "golang.org/x/sys/unix"

// chunkSize is what a queue grows by, in bytes: small, for most queues hold the
// end of one response to a client that is a little slow. A chunk with its 24
// bytes of bookkeeping fills a size class of the allocator.
const chunkSize = 16<<10 - 24

type chunk struct {
	next *chunk
	r, w int // buf[r:w] waits
	buf  [chunkSize]byte
}

// outQueue is what was written to a connection and the kernel did not take, in
// chunks of its loop's free list. The zero outQueue is empty and holds no memory.
type outQueue struct {
	head, last *chunk
	n          int // bytes
}

func (q *outQueue) append(f *freeList, p []byte) {
	q.n += len(p)
	f.held += len(p)
	for len(p) > 0 {
		if q.last == nil || q.last.w == chunkSize {
			c := f.get()
			if q.last == nil {
				q.head = c
			} else {
				q.last.next = c
			}
			q.last = c
		}
		k := copy(q.last.buf[q.last.w:], p)
		q.last.w += k
		p = p[k:]
	}
}

// vectors fills iov with what waits, from the head, as far as iov goes.
func (q *outQueue) vectors(iov []unix.Iovec) []unix.Iovec {
	i := 0
	for c := q.head; c != nil && i < len(iov); c = c.next {
		iov[i].Base = &c.buf[c.r]
		iov[i].SetLen(c.w - c.r)
		i++
	}
	return iov[:i]
}

// drop forgets n bytes from the head, which have been sent.
func (q *outQueue) drop(f *freeList, n int) {
	q.n -= n
	f.held -= n
	for n > 0 {
		c := q.head
		k := min(n, c.w-c.r)
		c.r += k
		n -= k
		if c.r == c.w {
			if q.head = c.next; q.head == nil {
				q.last = nil
			}
			f.put(c)
		}
	}
}

// freeList keeps chunks that are not in use, so that a loop under steady load
// allocates none.
type freeList struct {
	head *chunk
	n    int
	used int // chunks that are not in the list
	held int // bytes in them
}

// chunkBytes is what one takes.
const chunkBytes = chunkSize + 24

// maxFree bounds what an idle loop holds: 4 MiB.
const maxFree = 256

func (f *freeList) get() *chunk {
	f.used++
	c := f.head
	if c == nil {
		return new(chunk)
	}
	f.head, c.next = c.next, nil
	f.n--
	return c
}

func (f *freeList) put(c *chunk) {
	f.used--
	if f.n == maxFree {
		return
	}
	c.r, c.w = 0, 0
	c.next, f.head = f.head, c
	f.n++
}
