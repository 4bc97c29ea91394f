package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"mysqlproxy/engine"
	"mysqlproxy/engine/admin"
	"mysqlproxy/engine/hook"
	"mysqlproxy/engine/reactor"
	"mysqlproxy/luahooks"
)

// scripting makes the script engine. The plugins' scripts are of one world: they
// share proxy.global.
type scripting struct {
	s        *settings
	shown    admin.Settings
	log      *slog.Logger
	loops    int
	address  reactor.Addr // of the admin plugin
	shutdown func()
	lua      *luahooks.Scripts // made by the first plugin that has one
}

// world is the Lua state, or states, with the proxy plugin's script.
func (w *scripting) world(g hook.Global) (*luahooks.Scripts, error) {
	if w.lua != nil {
		return w.lua, nil
	}
	lua, err := luahooks.New(w.options(g))
	w.lua = lua
	return lua, err
}

func (w *scripting) options(g hook.Global) luahooks.Options {
	o := luahooks.Options{
		Script: w.s.ProxyLuaScript, Log: w.log, Global: g, Version: scriptVersion,
		LuaPath: os.Getenv("LUA_PATH"), BaseDir: w.s.Basedir,
		Shutdown: w.shutdown,
		// There, 0 is the default and a number below it is any.
		Instructions: orAny(w.s.LuaInstructions), Time: orAny(w.s.LuaHookTime), Memory: orAny(w.s.LuaMemory),
	}
	if w.s.LuaStates == "per-loop" {
		o.PerLoop = w.loops
	}
	return o
}

// orAny is n, or -1 if n is 0.
func orAny[T int64 | time.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}

// scriptVersion is what scripts are told. Some ask for a minor version above 0
// and take more digits than three for an error.
const scriptVersion = "1.1.0"

func (w *scripting) proxy(g hook.Global) (hook.Scripts, error) {
	lua, err := w.world(g)
	if err != nil {
		return nil, err
	}
	lua.Check()
	return lua, nil
}

func (w *scripting) admin(g hook.Global) (*engine.AdminConfig, error) {
	console := admin.Console{Settings: w.shown, Log: w.log}
	c := &engine.AdminConfig{
		Listen: w.address, User: w.s.AdminUsername, Password: w.s.AdminPassword,
		Console: func(ctx context.Context, e *engine.Engine, command engine.AdminCommand) engine.AdminAnswer {
			return console.Answer(ctx, e, command)
		},
	}
	if w.s.AdminLuaScript != "" {
		lua, err := w.world(g)
		if err != nil {
			return nil, err
		}
		script := lua.With(w.s.AdminLuaScript)
		script.Check()
		c.Scripts = script
	}
	return c, nil
}
