package main

import (
	"fmt"
	"slices"
	"strings"
)

// All that MySQL Proxy has and this version does not is refused here, and
// only here: never silently ignored.

// plugins are those that this version has.
var plugins = []string{"proxy", "admin"}

// laterPlugins are MySQL Proxy's other ones.
var laterPlugins = []string{"debug", "replicant"}

// isPlugin tells whether name is a plugin, of this version or not.
func isPlugin(name string) bool {
	return slices.Contains(plugins, name) || slices.Contains(laterPlugins, name)
}

// refusePlugins names the plugins that cannot be loaded, or is nil.
func refusePlugins(s *settings) error {
	for _, name := range s.Plugins {
		switch {
		case slices.Contains(plugins, name):
		case slices.Contains(laterPlugins, name):
			return fmt.Errorf("the plugin %s is not supported by this version yet; remove it from --plugins", name)
		default:
			return fmt.Errorf("there is no plugin %s; known: %s", clip(name), strings.Join(plugins, ", "))
		}
	}
	return nil
}
