package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// control obeys commands, one a line, and answers each with one line of JSON
// (Reply) when it is carried out. It returns when in ends.
//
//	kill NAME    SIGKILL, as in a crash; clients see the connections reset
//	stop NAME    orderly shutdown
//	start NAME   start again, on the same port and data; replicas follow again
//	pause NAME   SIGSTOP: connections are taken by the kernel, nobody answers
//	resume NAME  SIGCONT
//	state NAME   only say how it is
func control(b *testbed, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		if _, err := out.Write(jsonLine(obey(b, line))); err != nil {
			return err
		}
	}
	return lines.Err()
}

func obey(b *testbed, line string) Reply {
	fail := func(err error) Reply { return Reply{Command: line, Error: err.Error()} }
	words := strings.Fields(line)
	if len(words) != 2 {
		return fail(fmt.Errorf("a command has two words, COMMAND NAME"))
	}
	s := b.find(words[1])
	if s == nil {
		return fail(fmt.Errorf("no server is named %q", words[1]))
	}
	var err error
	switch words[0] {
	case "kill":
		err = s.end(syscall.SIGKILL)
	case "stop":
		err = s.end(syscall.SIGTERM)
	case "start":
		err = s.start()
	case "pause":
		err = s.signal(syscall.SIGSTOP)
	case "resume":
		err = s.signal(syscall.SIGCONT)
	case "state":
	default:
		err = fmt.Errorf("unknown command %q", words[0])
	}
	if err != nil {
		return fail(err)
	}
	state := s.state()
	return Reply{Command: line, OK: true, Server: &state}
}
