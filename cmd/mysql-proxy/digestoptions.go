package main

import "mysqlproxy/engine"

// The option of figures by statement.

var digestOptions = []option{
	{long: "digests", live: true, kind: stringKind, arg: "HOW", def: "sampled", group: "proxy",
		choices: []string{"sampled", "on", "off"},
		help:    "count commands by their statement without its literals, for SHOW DIGESTS and the metrics; sampled: all are counted, and of each statement the first 64 and then one of eight are timed; on: all are timed; off: nothing of that",
		dst:     func(s *settings) any { return &s.Digests }},
}

// digestModes are the choices of --digests.
var digestModes = map[string]engine.DigestMode{"sampled": engine.DigestsSampled, "on": engine.DigestsOn, "off": engine.DigestsOff}
