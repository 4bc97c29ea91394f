// Package luahooks is MySQL Proxy's Lua interface on gopher-lua: the hooks of
// engine/hook, and the proxy table that scripts see.
//
//	scripts.go     Options, New, With, Open: scripts for client sessions
//	load.go        a script on disk: found changed, compiled once a version
//	vm.go          a Lua state, its lock, and what its sessions share
//	loop.go        the loop that runs Lua, in place of gopher-lua's
//	loop_*.go      what it does without calls: values, functions, modules, words, spare objects
//	budget.go      what one call of a hook may cost
//	script.go      one session's environment and its hooks
//	verdict.go     what a hook's return value means
//	response.go    proxy.response as payloads
//	constants.go   proxy.COM_QUERY and the like
//	queue.go       proxy.queries
//	injection.go   what read_query_result is given
//	resultset.go   ... and its resultset
//	connection.go  proxy.connection, its two endpoints and their addresses
//	backends.go    proxy.global.backends
//	number.go      numbers and strings that scripts give
//	register.go    where the libraries and the modules come in
//	stdlib*.go     the libraries of Lua 5.1; lstring*.go: string
//	module_*.go    the modules that require finds
//
// # One state
//
// All sessions share one Lua state, as they do in MySQL Proxy: _G,
// package.loaded and proxy.global are everybody's, and a lock is held for the
// length of each call. With Options.PerLoop there are several such worlds, and
// each event loop has one of them. A session has no coroutine of its own, only
// an environment table that inherits from _G, a table behind proxy, and the
// functions that the main chunk has made for it. An object that a session was
// given (proxy.connection, proxy.queries, an endpoint) works in hooks of that
// session only: elsewhere, out of proxy.global for example, it raises an error.
//
// # Errors
//
// A hook that fails or takes too much is logged with script and line, and the
// session goes on as if the hook were not there. Nothing that a script does
// with the proxy table ends the process.
package luahooks
