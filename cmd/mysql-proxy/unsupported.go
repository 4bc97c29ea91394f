package main

import (
	"fmt"
	"slices"
	"strings"
)

// What MySQL Proxy has and this program has not is refused here, and only here:
// never silently ignored.

// plugins are those that there are.
var plugins = []string{"proxy", "admin"}

// leftOut are MySQL Proxy's other plugins, and why they are not here.
var leftOut = map[string]string{
	"debug": "it would run any text as Lua, without a password, for whoever connects; " +
		"instead, try scripts with \"mysql-proxy test\", and look into a running proxy by the console of the plugin admin",
	"replicant": "all that it did was to write binlog files to the log; mysqlbinlog shows them",
}

// isPlugin tells whether name is a plugin, of this version or not.
func isPlugin(name string) bool {
	return slices.Contains(plugins, name) || leftOut[name] != ""
}

// refusePlugins names the plugins that cannot be loaded, or is nil.
func refusePlugins(s *settings) error {
	for _, name := range s.Plugins {
		switch {
		case slices.Contains(plugins, name):
		case leftOut[name] != "":
			return withoutPlugin(name)
		default:
			return fmt.Errorf("there is no plugin %s; known: %s", clip(name), strings.Join(plugins, ", "))
		}
	}
	return nil
}

func withoutPlugin(name string) error {
	return fmt.Errorf("MySQL Proxy's plugin %s is left out; remove it and its options: %s", name, leftOut[name])
}

// ofLeftOut is the plugin that an unknown option belonged to, or empty.
func ofLeftOut(long string) string {
	group, _, _ := strings.Cut(long, "-")
	if leftOut[group] == "" {
		return ""
	}
	return group
}
