package engine

import (
	"encoding/binary"
	"strconv"
	"sync"
	"sync/atomic"

	"mysqlproxy/packet"
)

// This file is KILL in a session that splits. Clients know a session by the
// thread that it has at home, which is where a KILL goes and is allowed or
// refused. A read of that session may run at a replica: then it is killed there
// as well, in the name of its own client.

// kills notes a COM_PROCESS_KILL.
func (sp *splitting) kills(payload []byte) {
	if len(payload) >= 5 {
		now := sp.c.loop.engine.threads.now(sp.home.backend, binary.LittleEndian.Uint32(payload[1:]))
		binary.LittleEndian.PutUint32(payload[1:], now)
		sp.after = pending{on: true, kills: now, killed: true}
	}
}

// aims has a KILL that is about to go home name the thread that its target has
// now: one that multiplexes may have another than its client knows. It writes the
// number over the old one. If there is none, or no room, it is 0, which no thread
// has.
func (sp *splitting) aims(sql []byte) {
	thread, start, end, ok := packet.KillTarget(sql, sp.lex())
	if !ok {
		return
	}
	now := sp.c.loop.engine.threads.now(sp.home.backend, thread)
	if now == thread {
		return
	}
	text := strconv.AppendUint(nil, uint64(now), 10)
	if len(text) > end-start {
		text = []byte("0")
	}
	for i := range sql[start:end] {
		sql[start+i] = ' '
	}
	copy(sql[start:], text)
}

// aimsBy is aims for an execution of a KILL whose thread is a parameter. The value is
// written over the old one if it is a whole number.
func (sp *splitting) aimsBy(st *statement, e *packet.Execute) {
	types := e.Types
	if !e.HasTypes {
		types = st.types
	}
	if st.params != 1 || e.Params != 1 || len(types) < 2 || len(e.Nulls) != 1 || e.Nulls[0]&1 != 0 {
		return
	}
	var shown uint64
	v := e.Values
	switch {
	case types[0] == typeLongLong && len(v) == 8:
		shown = binary.LittleEndian.Uint64(v)
	case types[0] == typeLong && len(v) == 4:
		shown = uint64(binary.LittleEndian.Uint32(v))
	default:
		return
	}
	if shown > 1<<32-1 {
		return
	}
	now := sp.c.loop.engine.threads.now(sp.home.backend, uint32(shown))
	binary.LittleEndian.PutUint32(v, now)
	sp.after.kills, sp.after.killed = now, true
}

const ( // of parameters
	typeLong     = 3
	typeLongLong = 8
)

// threads are the sessions that multiplex, by the thread that their clients know
// them by. Loops share it; it is asked only for a KILL.
type threads struct {
	mu   sync.Mutex
	list map[threadKey]*atomic.Uint32
}

type threadKey struct {
	backend *Backend
	shown   uint32
}

// add notes a session whose client knows it as shown. The number that is returned
// is the session's, to keep its present thread in, 0 if it has none.
func (t *threads) add(b *Backend, shown uint32) *atomic.Uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.list == nil {
		t.list = map[threadKey]*atomic.Uint32{}
	}
	n := new(atomic.Uint32)
	n.Store(shown)
	t.list[threadKey{b, shown}] = n
	return n
}

// remove forgets a session, of which add has returned n.
func (t *threads) remove(b *Backend, shown uint32, n *atomic.Uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := (threadKey{b, shown}); t.list[k] == n {
		delete(t.list, k)
	}
}

// now is the thread that the session has now whose client knows it as shown. It is
// shown itself if that is no session that multiplexes.
func (t *threads) now(b *Backend, shown uint32) uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := t.list[threadKey{b, shown}]; n != nil {
		return n.Load()
	}
	return shown
}

// killRead has the session whose thread at b is the one that was killed there
// stop what it runs at a replica.
func (e *Engine) killRead(b *Backend, thread uint32) {
	for _, l := range e.loops {
		l.Post(func() {
			l.each(func(c *client) {
				if sp := c.sp; sp != nil && sp.home != nil && sp.home.backend == b && sp.home.thread == thread {
					sp.interrupt()
				}
			})
		})
	}
}

// interrupt kills what runs at the reader.
func (sp *splitting) interrupt() {
	c, r := sp.c, sp.reader
	if r == nil || c.server != r || c.id == nil || c.opening != nil || c.state >= clientClosing {
		return
	}
	c.stopAt(r, func(error) {}) // else it runs to its end
}
