package engine

import (
	"encoding/binary"
	"strconv"

	"mysqlproxy/packet"
)

// This file is KILL in a session that splits. Clients know a session by the
// thread that it has at home, which is where a KILL goes and is allowed or
// refused. A read of that session may run at a replica: then it is killed there
// as well, in the name of its own client.

// killTarget is the number in a KILL statement.
func killTarget(sql []byte) (thread uint32, ok bool) {
	end := len(sql)
	for end > 0 && (sql[end-1] < '0' || sql[end-1] > '9') {
		end--
	}
	start := end
	for start > 0 && sql[start-1] >= '0' && sql[start-1] <= '9' {
		start--
	}
	n, err := strconv.ParseUint(string(sql[start:end]), 10, 32)
	return uint32(n), err == nil
}

// kills notes a COM_PROCESS_KILL.
func (sp *splitting) kills(payload []byte) {
	if len(payload) >= 5 {
		sp.after = pending{on: true, kills: binary.LittleEndian.Uint32(payload[1:]), killed: true}
	}
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
	thread := r.thread
	r.backend.clients.Add(1)
	c.openAs(r.backend, c.id, opening{collation: sp.collation, caps: r.caps}, func(s *server, err error) {
		if err != nil {
			return // it runs to its end
		}
		s.reads = true
		s.command(packet.AppendPacket(nil, 0, append([]byte{byte(packet.ComQuery)}, "KILL QUERY "+strconv.FormatUint(uint64(thread), 10)...)))
		s.leave()
	})
}
