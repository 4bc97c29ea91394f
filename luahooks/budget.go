package luahooks

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"time"
)

// lookEvery is the number of instructions between two looks at the clock, about
// a millisecond's worth. An ordinary hook ends before the first.
const lookEvery = 50_000

// budget is what one call may cost. The loop that runs Lua counts instructions in
// it, see loop.go. Coroutines run in gopher-lua's, which can be stopped by a context
// only: the budget is one, and is asked before each instruction whether it is done.
//
// It belongs to its vm and is used under its lock.
type budget struct {
	instructions int64         // 0: any number
	time         time.Duration // 0: any
	memory       uint64        // bytes that the heap may grow by; 0: any

	left    int64 // instructions until the next look
	granted int64 // instructions up to the next look
	started time.Time
	heap    uint64 // bytes at the first look
	stopped error
	sample  [1]metrics.Sample
}

// closed is what Done answers when a call has to stop.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// begin opens the budget for a call.
func (b *budget) begin() {
	b.granted, b.stopped, b.started = 0, nil, time.Time{}
	b.grant()
}

// grant counts the instructions up to the next look, or to the limit.
func (b *budget) grant() {
	b.left = lookEvery
	if b.instructions > 0 {
		b.left = min(b.left, b.instructions-b.granted)
	}
	b.granted += b.left
}

// Done counts an instruction. What it returns is closed once the budget is
// spent: from then on every instruction fails, so that no pcall holds the call
// up, until the next begin.
func (b *budget) Done() <-chan struct{} {
	if b.left--; b.left >= 0 {
		return nil
	}
	return b.look()
}

func (b *budget) look() <-chan struct{} {
	if b.stopped == nil {
		b.stopped = b.over()
	}
	if b.stopped == nil {
		return nil
	}
	b.left = 0
	return closed
}

// over tells why the call has to stop, or opens the count up to the next look.
func (b *budget) over() error {
	if b.instructions > 0 && b.granted >= b.instructions {
		return fmt.Errorf("stopped: more than %d instructions in one call", b.instructions)
	}
	b.grant()
	if b.started.IsZero() { // what came before the first look is not worth a clock
		b.started, b.heap = time.Now(), b.heapBytes()
		return nil
	}
	if b.time > 0 && time.Since(b.started) > b.time {
		return fmt.Errorf("stopped: more than %v in one call", b.time)
	}
	if b.memory > 0 && b.grown() > b.memory {
		runtime.GC() // what has grown may be garbage
		if b.grown() > b.memory {
			return fmt.Errorf("stopped: more than %d bytes of memory in one call", b.memory)
		}
	}
	return nil
}

func (b *budget) grown() uint64 {
	now := b.heapBytes()
	return now - min(now, b.heap)
}

func (b *budget) heapBytes() uint64 {
	b.sample[0].Name = "/memory/classes/heap/objects:bytes"
	metrics.Read(b.sample[:])
	if b.sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return b.sample[0].Value.Uint64()
}

// Err is the text of the Lua error.
func (b *budget) Err() error { return b.stopped }

// Deadline is for context.Context.
func (b *budget) Deadline() (time.Time, bool) { return time.Time{}, false }

// Value is for context.Context.
func (b *budget) Value(any) any { return nil }
