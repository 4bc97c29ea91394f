package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/admin"
)

// worker is the process that serves clients. One goroutine runs it.
type worker struct {
	s     *settings // as they were at the start
	given handoff
	user  *account // whom to become, or nil
	log   *slog.Logger
	file  *logger
	angel bool // under --keepalive

	signals chan os.Signal // SIGHUP and SIGUSR1, 2 arrive already
	engine  *engine.Engine // nil with --no-proxy
	http    *admin.HTTP    // nil without --http-address
	control *control       // the options as they are now; nil before run
	ended   chan struct{}  // closed when the engine has ended
	hups    chan struct{}  // a SIGHUP has come
}

// doubleSignal is how close together two requests to shut down are taken as
// one under an angel: whoever signals the whole group, as init systems and
// terminals do, reaches the worker directly and once more through the angel.
const doubleSignal = 3 * time.Second

// run serves until it is asked to stop. An error has not been logged yet.
func (w *worker) run() error {
	w.control = newControl(w)
	config, kept, err := firstConfig(w.s, w.control, w.log, w.requestStop)
	if err != nil {
		return fmt.Errorf("applying config of %s failed: %w", pluginList(w.s), err)
	}
	// Not before: nobody should have to wait for the name service.
	signal.Notify(w.signals, syscall.SIGTERM, syscall.SIGINT)

	if w.s.PidFile != "" {
		pid, err := writePidFile(w.s.PidFile)
		if err != nil {
			return err
		}
		defer pid.remove()
	}
	for _, plugin := range w.s.Plugins {
		w.log.Error(fmt.Sprintf("plugin %s %s started", plugin, version)) // critical: shown by default
	}
	if w.s.MaxOpenFiles > 0 {
		if err := setMaxOpenFiles(w.s.MaxOpenFiles); err != nil {
			return err
		}
	}
	w.ended, w.hups = make(chan struct{}), make(chan struct{}, 1)
	if len(config.Listen) > 0 || config.Admin != nil {
		// More threads than loops only wake up to find nothing to do.
		runtime.GOMAXPROCS(config.Loops)
		if config.Scripts != nil && os.Getenv("GOGC") == "" {
			// Lua makes much garbage on a small heap: collecting it a quarter as
			// often saves up to a quarter of a script's cost for some 30 MB.
			debug.SetGCPercent(400)
		}
		if err := w.listenHTTP(); err != nil { // first: it leaves no file behind when the rest fails
			return err
		}
		e, err := engine.New(config)
		if err != nil {
			return fmt.Errorf("applying config of %s failed: %w%s", pluginList(w.s), err, bindHint(w.s, err))
		}
		w.engine = e
		announce(w.s, config, e.Addrs(), w.log)
	}
	if w.engine == nil {
		w.log.Warn("there is nothing to do: --no-proxy is given, and the plugin admin is not loaded")
	}
	if w.user != nil {
		if err := w.user.become(); err != nil {
			return err
		}
	}
	if w.engine != nil {
		w.message(fmt.Sprintf("starting %d event threads", config.Loops))
		if err := w.engine.Start(); err != nil {
			return fmt.Errorf("starting the event threads failed: %w", err)
		}
		go func() {
			w.engine.Wait()
			close(w.ended)
		}()
		w.control.runs(w.engine, config, kept)
		if w.http != nil {
			w.http.Start(w.engine)
			defer w.http.Stop() // it tells of a shutdown until that is over
		}
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	reading.Go(w.rereads)
	return w.serve()
}

// rereads reads the configuration again when serve is told to, until the engine has
// ended. Names may have to be looked up, which signals should not wait for.
func (w *worker) rereads() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		defer cancel()
		<-w.ended
	}()
	if w.angel && w.control.edited() { // the one before may have read it again
		w.control.Reload(ctx)
	}
	for {
		select {
		case <-w.ended:
			return
		case <-w.hups:
			w.control.Reload(ctx)
		}
	}
}

// options are those of now.
func (w *worker) options() *settings {
	if w.control == nil {
		return w.s
	}
	return w.control.settings()
}

// pluginList names the plugins as the log does.
func pluginList(s *settings) string {
	if len(s.Plugins) == 1 {
		return "plugin " + s.Plugins[0]
	}
	return "plugins " + strings.Join(s.Plugins, ", ")
}

// serve deals with signals until the engine has ended.
func (w *worker) serve() error {
	requests := 0
	var last time.Time
	for {
		select {
		case <-w.ended:
			if requests == 0 {
				return errors.New("all event threads have ended by themselves; see the log above")
			}
			return nil
		case sig := <-w.signals:
			switch sig {
			case syscall.SIGTERM, syscall.SIGINT:
				if w.angel && requests > 0 && time.Since(last) < doubleSignal {
					continue
				}
				requests++
				last = time.Now()
				w.stop(requests)
			case syscall.SIGHUP:
				w.reopenLog()
				select {
				case w.hups <- struct{}{}:
				default: // it will be read again in any case
				}
			default: // it would end the process, for no use
				w.message(fmt.Sprintf("received the signal %v, which has no meaning here: ignored", sig))
			}
		}
	}
}

// stop ends the engine, orderly at the first request and at once at the
// second.
func (w *worker) stop(request int) {
	if request == 1 {
		w.message("Initiating shutdown, requested from signal handler")
	} else {
		w.message("shutdown requested again: closing all connections now")
	}
	if w.engine != nil {
		w.engine.Shutdown()
	} else if request == 1 {
		close(w.ended)
	}
}

// requestStop is a script's request to stop, as good as a signal.
func (w *worker) requestStop() {
	select {
	case w.signals <- syscall.SIGTERM:
	default: // so many have come that one more makes no difference
	}
}

func (w *worker) reopenLog() {
	w.message("received a SIGHUP, closing log file")
	if err := w.file.reopen(); err != nil {
		w.log.Error(fmt.Sprintf("re-opening the log file failed, the old one stays in use: %v", err))
		return
	}
	w.message("re-opened log file after SIGHUP")
}

func (w *worker) message(text string) { w.log.Log(context.Background(), engine.LevelMessage, text) }
