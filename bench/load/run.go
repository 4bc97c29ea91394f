package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"mysqlproxy/bench/wire"
)

// options of a run; the flags say what they mean.
type options struct {
	addr, mode               string
	conns                    int
	warmup, duration         time.Duration
	timeout                  time.Duration
	answers                  int64 // that the window has at least
	user, password, database string
	bulk                     int64
	row                      int
	rate                     int64
	noDeprecateEOF           bool
	pid, backendPID          int
	arrivals                 float64 // connections begun a second in connect mode, else requests; 0: as many as can be
	query                    string  // of the mode query
	tls                      tlsMode
	tlsConfig                *tls.Config // set if tls is
	compress                 string      // zlib, zstd or nothing
	untilEOF                 bool        // end the window when the standard input ends
	onReady                  func()      // called once when all connections are logged in
}

// inFlight bounds how many connections log in at the same time.
const inFlight = 256

// tick is how often a slow reader reads.
const tick = 10 * time.Millisecond

type phase int

const (
	phaseLogin phase = iota // until everybody is in; no requests yet
	phaseWarm
	phaseMeasure
	phaseDrain // no new requests; the last answers come in
	phaseOver
)

// runner owns the connections of one run. One goroutine uses it.
type runner struct {
	options
	addr    netip.AddrPort
	poll    *wire.Poller
	rows    wire.Rows
	base    time.Time
	now     time.Duration // since base, read once a batch of events
	phase   phase
	until   time.Duration // end of the phase
	conns   []*conn       // by descriptor
	slots   []conn
	waiting []*conn // slots that have not begun to connect
	resting []*conn // logged in, waiting for the time of their next request
	arrived float64 // connections or requests begun, of those that arrivals is about
	login   int     // slots on the way in
	ready   int     // slots that are logged in, in the first phase
	busy    int     // slots with an answer or a login outstanding
	closed  int     // slots that are not coming back
	number  uint32
	began   time.Duration    // of the window
	ended   bool             // the standard input: so does the window
	cpu     [2]time.Duration // of the processes at -pid and -backend-pid, when the window began
	sum     answerSum
	hist    histogram
	report  report
	buf     [256 << 10]byte
	clear   [256 << 10]byte // what buf holds, decrypted
}

// run does a whole run. An error is about the run itself, such as an address that
// cannot be read; wrong answers are counted in the report.
func run(o options) (*report, error) {
	addr, err := netip.ParseAddrPort(o.addr)
	if err != nil {
		return nil, err
	}
	r := &runner{options: o, addr: addr, base: time.Now(), slots: make([]conn, o.conns)}
	for i := range r.slots {
		r.waiting = append(r.waiting, &r.slots[i])
	}
	r.report.Mode, r.report.Conns = o.mode, o.conns
	if o.mode == "bulk" || o.mode == "slow" {
		if r.rows, err = wire.NewRows(o.row); err != nil {
			return nil, err
		}
	}
	if r.poll, err = wire.NewPoller(); err != nil {
		return nil, err
	}
	defer r.poll.Close()
	defer r.closeAll()
	if err := r.loop(); err != nil {
		return nil, err
	}
	return &r.report, nil
}

func (r *runner) loop() error {
	r.until = r.timeout
	if r.untilEOF {
		if err := r.poll.Add(0, unix.EPOLLIN); err != nil {
			return fmt.Errorf("watch the standard input: %w", err)
		}
	}
	if r.mode == "connect" {
		// There is no time at which everybody is in.
		r.phase, r.until = phaseWarm, r.warmup
	}
	for r.phase != phaseOver {
		wait := r.until - r.now
		for len(r.waiting) > 0 && r.login < inFlight && r.phase < phaseDrain && (r.mode != "connect" || r.due(&wait)) {
			last := len(r.waiting) - 1
			c := r.waiting[last]
			r.waiting = r.waiting[:last]
			r.dial(c)
		}
		for len(r.resting) > 0 && r.phase < phaseDrain && r.due(&wait) {
			c := r.resting[0]
			r.resting = append(r.resting[:0], r.resting[1:]...)
			c.request()
		}
		if r.mode == "slow" && r.phase != phaseLogin {
			wait = min(wait, tick)
		}
		events, err := r.poll.Wait(int(max(0, (wait+time.Millisecond-1)/time.Millisecond)))
		if err != nil {
			return err
		}
		r.now = time.Since(r.base)
		for _, e := range events {
			if c := r.at(int(e.Fd)); c != nil {
				c.event()
			} else if e.Fd == 0 {
				// Nothing is ever written to it: this is its end, and would come
				// again with each Wait.
				if err := r.poll.Del(0); err != nil {
					return fmt.Errorf("watch the standard input: %w", err)
				}
				r.until, r.ended = 0, true
			}
		}
		if r.mode == "slow" && r.phase != phaseLogin {
			r.slots[0].readSlowly()
		}
		if err := r.turn(); err != nil {
			return err
		}
	}
	return nil
}

// due says whether the next connection or request may begin, and counts it. If
// not, wait is at most the time until then. What was due while everybody was
// busy is not made up for later.
func (r *runner) due(wait *time.Duration) bool {
	if r.arrivals == 0 {
		return true
	}
	r.arrived = max(r.arrived, r.arrivals*r.now.Seconds()-float64(len(r.slots)))
	if left := time.Duration(r.arrived/r.arrivals*1e9) - r.now; left > 0 {
		*wait = min(*wait, left)
		return false
	}
	r.arrived++
	return true
}

func (r *runner) at(fd int) *conn {
	if fd < len(r.conns) {
		return r.conns[fd]
	}
	return nil
}

// turn goes to the next phase when it is time.
func (r *runner) turn() error {
	if r.closed == len(r.slots) && r.phase < phaseDrain {
		if r.phase == phaseMeasure {
			r.finish()
		}
		r.phase = phaseOver
		return nil
	}
	switch r.phase {
	case phaseLogin:
		if r.ready+r.closed == len(r.slots) {
			r.phase, r.until = phaseWarm, r.now+r.warmup
			if r.onReady != nil {
				r.onReady()
			}
			for i := range r.slots {
				if c := &r.slots[i]; c.state == stateReady {
					c.goOn()
				}
			}
		} else if r.now >= r.until {
			r.fail(nil, fmt.Errorf("%d of %d connections are not logged in after %s", len(r.slots)-r.ready-r.closed, len(r.slots), r.timeout))
			r.phase = phaseOver
		}
	case phaseWarm:
		if r.now < r.until {
			break
		}
		r.phase = phaseMeasure
		if r.mode == "connect" && r.onReady != nil {
			r.onReady()
		}
		var err error
		if r.cpu, err = r.cpuTimes(); err != nil {
			return err
		}
		r.began = time.Since(r.base)
		r.until = r.began + r.duration
	case phaseMeasure:
		if r.now < r.until {
			break
		}
		if r.wants() && r.now < r.began+r.duration+r.timeout {
			r.until = r.now + tick
			break
		}
		if err := r.sampleCPU(); err != nil {
			return err
		}
		r.finish()
		r.phase, r.until = phaseDrain, r.now+r.timeout
		if r.mode == "slow" || r.busy == 0 {
			r.phase = phaseOver // the rest of slow's result would take minutes
		}
	case phaseDrain:
		if r.busy == 0 {
			r.phase = phaseOver
		} else if r.now >= r.until {
			r.fail(nil, fmt.Errorf("%d connections have no answer after %s", r.busy, r.timeout))
			r.report.Errors += int64(r.busy) - 1
			r.phase = phaseOver
		}
	case phaseOver:
	}
	return nil
}

// wants says whether the window must not end yet.
func (r *runner) wants() bool {
	switch {
	case r.ended || r.mode == "idle":
		return false
	case r.mode == "slow":
		return r.report.Bytes < int64(float64(r.rate)*r.duration.Seconds())
	}
	return r.hist.n < r.answers
}

// sampleCPU is called once, at the end of the window.
func (r *runner) sampleCPU() error {
	end, err := r.cpuTimes()
	r.report.CPUSeconds = (end[0] - r.cpu[0]).Seconds()
	r.report.BackendCPUSeconds = (end[1] - r.cpu[1]).Seconds()
	return err
}

// cpuTimes are of the two processes, 0 where none was named.
func (r *runner) cpuTimes() (t [2]time.Duration, err error) {
	for i, pid := range []int{r.pid, r.backendPID} {
		if pid != 0 && err == nil {
			t[i], err = cpuTime(pid)
		}
	}
	return t, err
}

// finish writes down the window.
func (r *runner) finish() {
	p := &r.report
	p.Seconds = (time.Since(r.base) - r.began).Seconds()
	p.Queries = r.hist.n
	if p.Queries > 0 {
		p.QPS = float64(p.Queries) / p.Seconds
		p.CPUPerQuery = p.CPUSeconds * 1e6 / float64(p.Queries)
	}
	p.AnswerBytes, p.AnswerSum = r.sum.bytes, r.sum.String()
	us := func(d time.Duration) float64 { return float64(d) / 1e3 }
	p.P50, p.P99, p.Max = us(r.hist.quantile(.50)), us(r.hist.quantile(.99)), us(r.hist.max)
}

// fail counts an error and ends the connection, if it is about one.
func (r *runner) fail(c *conn, err error) {
	r.report.Errors++
	if len(r.report.FirstErrors) < 5 {
		r.report.FirstErrors = append(r.report.FirstErrors, err.Error())
	}
	if c != nil {
		c.close()
		r.closed++
	}
}

func (r *runner) closeAll() {
	quit := wire.AppendPacket(nil, 0, []byte{wire.ComQuit})
	for i := range r.slots {
		if c := &r.slots[i]; c.state == stateReady || c.state == stateBusy {
			_, _ = wire.Write(c.fd, quit) // the run is over, whatever this says
			c.close()
		} else if c.state != stateClosed {
			c.close()
		}
	}
}

var errGone = errors.New("the connection was closed")

// cpuTime is the CPU time that a process, all its threads and those that have
// ended, has used. The clock of a process is its number, turned over and
// shifted, with 2 for "by the scheduler": clock_getcpuclockid(3) does the same.
func cpuTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid)<<3|2, &ts); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}
