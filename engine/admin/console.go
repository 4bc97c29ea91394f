package admin

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"strings"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/packet"
)

// This file is the admin console: what answers a MySQL client at the admin port.
//
//	Answer --> command --> query --> parse --> verbs (verbs.go) --> act.go
//	               \                    \        \--> views (views.go) --> narrow --> grid
//	                \                    \--> tools.go: what clients ask by themselves
//	                 \--> ping, init_db ...

// Proxy is what the console asks and tells; an engine.Engine is one.
type Proxy interface {
	Figures(context.Context) (engine.Figures, error)
	Sessions(context.Context) ([]engine.SessionFigures, error)
	Pools(context.Context) ([]engine.PoolFigures, error)
	Digests(context.Context) ([]engine.DigestFigures, error)
	Events() []engine.Event
	Explain(context.Context, string, engine.ExplainOptions) (engine.Explanation, error)

	ResetDigests(context.Context) error
	Kill(ctx context.Context, id uint64, queryOnly bool) error
	SetBackend(ctx context.Context, addr string, to engine.Duty, grace time.Duration) error
	ForceBackend(ctx context.Context, addr string, to engine.Duty, grace time.Duration) error
}

// Console is the admin console. Any goroutine may use it.
type Console struct {
	// Settings are the program's options; nil: the console has none to show.
	Settings Settings
	// Log is told of what operators do, and as whom and from where. It is not told
	// of the values that they set.
	Log *slog.Logger
}

// request is one statement on its way.
type request struct {
	context.Context
	*Console
	proxy Proxy
	from  engine.AdminCommand
	*statement
}

// result is what a statement comes to: a grid, one bare payload, or an OK that
// says something.
type result struct {
	grid *grid
	bare []byte
	said string
}

// Answer answers a command. The context's end is an error to the client.
func (c *Console) Answer(ctx context.Context, proxy Proxy, command engine.AdminCommand) engine.AdminAnswer {
	r := &request{Context: ctx, Console: c, proxy: proxy, from: command}
	res, err := r.command()
	var list [][]byte
	switch {
	case err != nil:
	case res == nil: // no answer
		return engine.AdminAnswer{}
	case res.grid != nil:
		list, err = res.grid.payloads()
	case res.bare != nil:
		list = [][]byte{res.bare}
	default:
		o := packet.OK{Status: packet.StatusAutocommit, Info: []byte(res.said)}
		list = [][]byte{o.Append(nil, protocol)}
	}
	if err != nil {
		return r.refuse(err)
	}
	return engine.AdminAnswer{Payloads: list}
}

// maxErrorText is what an ERR may say, in bytes, as in MySQL.
const maxErrorText = 512

func (r *request) refuse(err error) engine.AdminAnswer {
	f := &fault{1105, "HY000", err.Error()}
	var unknown *unknownStatement
	if !errors.As(err, &f) && errors.As(err, &unknown) {
		f = &fault{1105, "07000", unknown.Error()}
	} else if r.Err() != nil && errors.Is(err, r.Err()) {
		f = &fault{1205, "HY000", "(proxy) the event loops did not answer in time"}
	}
	text := f.text
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText-3], "") + "..."
	}
	return engine.AdminAnswer{Payloads: [][]byte{packet.AppendERR(nil, f.code, f.state, text)}, Unknown: unknown != nil}
}

// command answers whatever command a client sends.
func (r *request) command() (*result, error) {
	p := r.from.Payload
	if len(p) == 0 {
		return nil, &fault{1047, "08S01", "Unknown command"}
	}
	switch c := packet.Command(p[0]); c {
	case packet.ComQuery:
		return r.query(string(p[1:]))
	case packet.ComPing, packet.ComInitDB, packet.ComResetConnection, packet.ComDebug:
		return &result{}, nil
	case packet.ComSetOption:
		end := packet.OK{Status: packet.StatusAutocommit}
		return &result{bare: end.AppendEnd(nil, protocol)}, nil
	case packet.ComStatistics:
		text, err := r.statistics()
		return &result{bare: []byte(text)}, err
	case packet.ComProcessInfo:
		return r.query("SHOW PROCESSLIST")
	case packet.ComProcessKill:
		if len(p) < 5 {
			return nil, &fault{1835, "HY000", "Malformed communication packet."}
		}
		return r.killed(uint64(binary.LittleEndian.Uint32(p[1:])), false)
	case packet.ComStmtPrepare:
		return nil, &fault{1295, "HY000", "the console has no prepared statements; have the client put the values into the text (interpolateParams, useServerPrepStmts=false)"}
	case packet.ComStmtSendLongData, packet.ComStmtClose, packet.ComQuit:
		return nil, nil
	default:
		return nil, &fault{1047, "08S01", "the console does not know the command " + c.String() + "; it takes statements, see HELP"}
	}
}
