//go:build race

package reactor

func init() { underRace = true }
