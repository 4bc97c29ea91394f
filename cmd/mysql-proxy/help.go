package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is the program's own; a release sets it:
// go build -ldflags "-X main.version=1.0.0".
var version = "1.0.0-dev"

const (
	helpColumn = 36 // where the descriptions start
	helpWidth  = 100
)

// writeHelp answers --help (topic main), --help-all (all) and --help-PLUGIN.
// Only the options of loaded plugins exist.
func writeHelp(w io.Writer, topic string, loaded []string) {
	fmt.Fprintf(w, "Usage:\n  mysql-proxy [OPTION…] - MySQL Proxy\n")
	fmt.Fprintf(w, "  mysql-proxy test SCRIPT [FILE.sql] - try a Lua script without a server (test --help says more)\n")
	if topic == mainGroup || topic == "all" {
		fmt.Fprintf(w, "\nHelp Options:\n")
		helpLine(w, "  -h, -?, --help", "show help options")
		helpLine(w, "  --help-all", "show all help options")
		for _, plugin := range loaded {
			helpLine(w, "  --help-"+plugin, "show options for the "+plugin+"-module")
		}
	}
	for _, plugin := range loaded {
		if topic == "all" || topic == plugin {
			helpGroup(w, plugin+"-module", plugin)
		}
	}
	if topic == mainGroup || topic == "all" {
		helpGroup(w, "Application Options:", mainGroup)
		io.WriteString(w, `
Every option but --help, --version and --defaults-file is also a key, without
the dashes, in the group [mysql-proxy] of the defaults-file (a flag = true, a
list = comma separated). The command line wins over the file, for every option.
Relative file names start from --basedir.
`)
	}
}

func helpGroup(w io.Writer, heading, group string) {
	fmt.Fprintf(w, "\n%s\n", heading)
	for i := range options {
		o := &options[i]
		if o.group != group {
			continue
		}
		left := "      --" + o.long
		if o.short != 0 {
			left = fmt.Sprintf("  -%c, --%s", o.short, o.long)
		}
		if o.kind.takesValue() {
			left += "=" + o.arg
		}
		text := o.help
		if d := o.shownDefault(); d != "" {
			text += " (default: " + d + ")"
		}
		helpLine(w, left, text)
	}
}

// shownDefault is the default as people read it, or empty.
func (o *option) shownDefault() string {
	if o.defText != "" {
		return o.defText
	}
	return o.def
}

// helpLine writes an option and its description, wrapped and aligned.
func helpLine(w io.Writer, left, text string) {
	column := len(left)
	io.WriteString(w, left)
	if column > helpColumn-2 {
		io.WriteString(w, "\n")
		column = 0
	}
	pad := helpColumn - column
	for word := range strings.FieldsSeq(text) {
		if pad == 0 && column+1+len(word) > helpWidth {
			io.WriteString(w, "\n")
			column, pad = 0, helpColumn
		}
		if pad == 0 {
			pad = 1
		}
		fmt.Fprintf(w, "%*s%s", pad, "", word)
		column += pad + len(word)
		pad = 0
	}
	io.WriteString(w, "\n")
}

// writeVersion answers --version in MySQL Proxy's shape. Where it showed
// glib2 and libevent, this shows what does their work here.
func writeVersion(w io.Writer, loaded []string) {
	fmt.Fprintf(w, "mysql-proxy %s\n", version)
	fmt.Fprintf(w, "  chassis: %s\n", version)
	fmt.Fprintf(w, "  go: %s\n", strings.TrimPrefix(runtime.Version(), "go"))
	fmt.Fprintf(w, "  gnet: %s\n", moduleVersion("github.com/panjf2000/gnet/v2"))
	fmt.Fprintf(w, "  LUA: Lua 5.1 (gopher-lua)\n")
	fmt.Fprintf(w, "    package.path: %s\n", os.Getenv("LUA_PATH"))
	fmt.Fprintf(w, "    package.cpath: %s\n", os.Getenv("LUA_CPATH"))
	fmt.Fprintf(w, "-- modules\n")
	for _, plugin := range loaded {
		fmt.Fprintf(w, "  %s: %s\n", plugin, version)
	}
}

// moduleVersion is the version of a module that the program was built with.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return "none"
}
