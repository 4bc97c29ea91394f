package main

import (
	"fmt"
	"log/slog"
	"log/syslog"
	"os"
	"runtime/debug"
	"sync"
	"time"
)

// sink is where log lines go. write gets whole lines and never fails: what
// cannot be written where it should goes to standard error.
type sink interface {
	write(level slog.Level, line []byte)
	reopen() error
}

// stderrSink writes to standard error.
type stderrSink struct{}

func (stderrSink) write(_ slog.Level, line []byte) { os.Stderr.Write(line) }
func (stderrSink) reopen() error                   { return nil }

// fileSink appends to a file. The logger's lock guards it.
type fileSink struct {
	name string
	f    *os.File

	owner   *account // whom the file belongs to, or nil
	crashes bool     // stacks of a crash go there, too
	always  bool     // open it anew for every line: another process rotates it
}

// openFileSink opens or creates the file. If owner is not nil the file is
// given to them: they have to open it again once root's rights are gone.
func openFileSink(name string, owner *account, crashes bool) (*fileSink, error) {
	s := &fileSink{name: name, owner: owner, crashes: crashes}
	if err := s.reopen(); err != nil {
		return nil, fmt.Errorf("cannot open the log file %s: %w; check the folder and its permissions", clean(name), withoutPath(err))
	}
	return s, nil
}

func (s *fileSink) reopen() error {
	f, err := os.OpenFile(s.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o660)
	if err != nil {
		return err
	}
	if s.owner != nil && os.Geteuid() == 0 {
		if err := f.Chown(s.owner.uid, s.owner.gid); err != nil {
			f.Close()
			return fmt.Errorf("giving it to %s: %w", s.owner.name, withoutPath(err))
		}
	}
	if s.crashes {
		if err := debug.SetCrashOutput(f, debug.CrashOptions{}); err != nil {
			f.Close()
			return err
		}
	}
	if s.f != nil {
		s.f.Close() // appended to and not buffered: nothing is lost
	}
	s.f = f
	return nil
}

func (s *fileSink) write(_ slog.Level, line []byte) {
	if s.always {
		if err := s.reopen(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
		}
	}
	if _, err := s.f.Write(line); err != nil {
		os.Stderr.Write(line)
	}
}

// syslogSink sends lines to the system's log. The logger's lock guards it.
type syslogSink struct {
	network, addr string // empty: the local daemon
	w             *syslog.Writer
	complain      sync.Once
}

func (s *syslogSink) reopen() error { return nil }

// write connects when it has to: syslog may start after us or be restarted.
// log/syslog itself connects again if its connection was lost.
func (s *syslogSink) write(level slog.Level, line []byte) {
	if s.w == nil {
		w, err := syslog.Dial(s.network, s.addr, syslog.LOG_USER|syslog.LOG_NOTICE, "mysql-proxy")
		if err != nil {
			s.complain.Do(func() {
				fmt.Fprintf(os.Stderr, "%s: (critical) syslog cannot be reached (%v): until it can, the log goes to standard error\n",
					time.Now().Format(timeFormat), err)
			})
			os.Stderr.Write(line)
			return
		}
		s.w = w
	}
	send := s.w.Debug
	switch levelName(level) {
	case "error":
		send = s.w.Crit
	case "critical":
		send = s.w.Err
	case "warning":
		send = s.w.Warning
	case "message":
		send = s.w.Notice
	case "info":
		send = s.w.Info
	}
	if err := send(string(line)); err != nil {
		os.Stderr.Write(line)
	}
}
