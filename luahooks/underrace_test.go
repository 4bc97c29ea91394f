//go:build race

package luahooks

func init() { underRace = true }
