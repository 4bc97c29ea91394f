//go:build race

package packet

func init() { underRace = true }
