package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// Go cannot fork. Where MySQL Proxy forked, the program starts itself again
// with the same command line and is told by a variable which stage it is to
// be:
//
//	mysql-proxy --daemon --keepalive
//	  `-- start, ends with 0 -- stageDaemon: own session, the angel
//	                              `-- stageWorker: serves clients; again after a crash
//
// What the first stage has read goes along through a pipe, so that a file
// that is edited later, or is out of reach from "/", does not matter.

// stageVariable names the stage in the environment of a process that was
// started by this program. It is removed at once.
const stageVariable = "MYSQL_PROXY_STAGE"

type stage string

const (
	stageStart  stage = ""       // started by the user
	stageDaemon stage = "daemon" // in the background, in a session of its own
	stageWorker stage = "worker" // under an angel
)

// handoffFD is the descriptor of the pipe in the new process.
const handoffFD = 3

// handoff is what one stage gives to the next.
type handoff struct {
	Basedir string // as derived from argv[0]
	Dir     string // that the user started it in; empty: not known
	File    []byte // text of the defaults-file
	HasFile bool
}

// takeStage tells which stage this process is and reads what it was given.
func takeStage() (stage, handoff, error) {
	value, ok := os.LookupEnv(stageVariable)
	if !ok {
		return stageStart, handoff{}, nil
	}
	os.Unsetenv(stageVariable)
	fail := func(why error) (stage, handoff, error) {
		return stageStart, handoff{}, fmt.Errorf("the environment variable %s is set but mysql-proxy did not set it (%v); unset it", stageVariable, why)
	}
	st := stage(value)
	if st != stageDaemon && st != stageWorker {
		return fail(fmt.Errorf("unknown stage %s", clip(value)))
	}
	var info syscall.Stat_t
	if err := syscall.Fstat(handoffFD, &info); err != nil || info.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return fail(errors.New("descriptor 3 is not a pipe"))
	}
	pipe := os.NewFile(handoffFD, "handoff")
	defer pipe.Close()
	var h handoff
	if err := json.NewDecoder(io.LimitReader(pipe, 4*maxFileLen)).Decode(&h); err != nil {
		return fail(err)
	}
	if h.HasFile && h.File == nil {
		h.File = []byte{}
	}
	return st, h, nil
}

// startStage starts this program again, with the same arguments, as st. It
// returns once the new process has read h.
func startStage(st stage, h handoff) (*os.Process, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	env := []string{stageVariable + "=" + string(st)}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, stageVariable+"=") {
			env = append(env, v)
		}
	}
	p, err := os.StartProcess(ownProgram(), os.Args, &os.ProcAttr{
		Env:   env,
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr, r},
		Sys:   &syscall.SysProcAttr{Setsid: st == stageDaemon},
	})
	r.Close() // the other end must be the child's only: if it dies, Write returns
	if err != nil {
		return nil, fmt.Errorf("starting %s again: %w", ownProgram(), err)
	}
	// A child that died before it read is for Wait to report.
	if _, err := w.Write(text); err != nil && !errors.Is(err, syscall.EPIPE) {
		return p, err
	}
	return p, nil
}

// ownProgram is the file to execute for another process of this program. By
// its name, so that ps shows it, as long as that is still the same file: an
// upgrade may have replaced it since.
func ownProgram() string {
	const self = "/proc/self/exe"
	name, err := os.Executable()
	if err != nil {
		return self
	}
	ours, err := os.Stat(self)
	if err != nil {
		return name // no /proc
	}
	if there, err := os.Stat(name); err == nil && os.SameFile(ours, there) {
		return name
	}
	return self
}
