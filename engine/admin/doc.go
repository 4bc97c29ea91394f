// Package admin is the control plane: what people and programs ask a running
// engine, and tell it. All of it runs off the event loops, which answer by Post;
// what they count is engine.Figures.
//
// The console, for MySQL clients at the admin port:
//
//	console.go    Console: a statement, and the payloads of its response
//	statement.go  a statement as words
//	verbs.go      the statements that are known; help.go tells of them
//	views.go      what can be shown: lists and their columns; shows.go, explain.go
//	selects.go    the same by SELECT
//	narrow.go     LIKE, WHERE, ORDER BY and LIMIT
//	act.go        what changes something
//	settings.go   Settings: the program's options
//	tools.go      what clients ask unasked
//	grid.go       a result: columns and rows
//
// HTTP, for monitoring:
//
//	http.go       HTTP: the server, its limits, /healthz
//	snapshot.go   figures, asked once for all who want them at about the same time
//	families.go   the names of all metrics; metrics.go exposes them, /metrics
//	ready.go      /readyz
//	status.go     /status.json
//	dashboards/   a dashboard and alert rules, by those names
package admin
