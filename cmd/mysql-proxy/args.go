package main

import (
	"fmt"
	"strings"
)

// The rules are those of GLib's option parser, which MySQL Proxy used, and a
// few things that it refused: a value glued to its short option (-P:4040).
// No library has them: a flag with a value is still set, a value may begin
// with a dash, --GROUP-OPTION is OPTION, and -? is help.

// commandLine is what the words of the command line come to.
type commandLine struct {
	given    map[string]bool // long names of the options that were given
	help     string          // topic of the first --help: "main", "all" or a plugin; empty: none
	warnings []string
}

// parseArgs stores the options of args, which has no program name, in s. The
// error is one line that says what is wrong and what to do. Once --help was
// seen the rest need not be right.
func parseArgs(args []string, s *settings) (*commandLine, error) {
	p := &commandLine{given: map[string]bool{}}
	for len(args) > 0 {
		rest, err := p.word(args[0], args[1:], s)
		if err != nil {
			if p.help != "" {
				break
			}
			return p, err
		}
		args = rest
	}
	return p, nil
}

// word deals with one word and returns the words that it left.
func (p *commandLine) word(w string, rest []string, s *settings) ([]string, error) {
	switch {
	case strings.HasPrefix(w, "--") && len(w) > 2:
		return p.long(w, rest, s)
	case len(w) > 1 && w[0] == '-' && w != "--":
		return p.shorts(w, rest, s)
	}
	return nil, fmt.Errorf("unknown option: %s (every word must be an option or an option's value; use --help to show all options)", clean(w))
}

// long deals with --name, --name value and --name=value.
func (p *commandLine) long(w string, rest []string, s *settings) ([]string, error) {
	name, value, glued := strings.Cut(w[2:], "=")
	if !glued && (name == "help" || strings.HasPrefix(name, "help-")) {
		topic := strings.TrimPrefix(strings.TrimPrefix(name, "help"), "-")
		switch {
		case name == "help":
			topic = mainGroup
		case topic != "all" && !isPlugin(topic):
			return nil, unknownOption(w)
		}
		if p.help == "" {
			p.help = topic
		}
		return rest, nil
	}
	o := findOption(name)
	if o == nil {
		if group, long, ok := strings.Cut(name, "-"); ok {
			if o = findOption(long); o != nil && o.group != group {
				o = nil
			}
		}
	}
	switch {
	case o == nil:
		return nil, unknownOption("--" + name)
	case !o.kind.takesValue():
		if glued {
			p.warnings = append(p.warnings, fmt.Sprintf("--%s takes no value: %q is ignored and the option is set", name, value))
		}
	case !glued:
		if len(rest) == 0 {
			return nil, missingValue("--"+name, o)
		}
		value, rest = rest[0], rest[1:]
	}
	return rest, p.store(o, value, s)
}

// shorts deals with -V, -P value, -Pvalue and bundles of them (-Vb value).
func (p *commandLine) shorts(w string, rest []string, s *settings) ([]string, error) {
	for i := 1; i < len(w); i++ {
		if w[i] == 'h' || w[i] == '?' {
			if p.help == "" {
				p.help = mainGroup
			}
			continue
		}
		o := findShort(w[i])
		if o == nil {
			return nil, unknownOption(w)
		}
		value := ""
		if o.kind.takesValue() {
			switch {
			case i+1 < len(w):
				value, i = strings.TrimPrefix(w[i+1:], "="), len(w)
			case len(rest) > 0:
				value, rest = rest[0], rest[1:]
			default:
				return nil, missingValue(w, o)
			}
		}
		if err := p.store(o, value, s); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func (p *commandLine) store(o *option, value string, s *settings) error {
	if value == "" && o.long == "plugins" {
		return nil // an empty name is skipped, as it always was
	}
	if err := o.set(s, value); err != nil {
		return fmt.Errorf("--%s: %w", o.long, err)
	}
	p.given[o.long] = true
	return nil
}

func missingValue(w string, o *option) error {
	choices := ""
	if o.choices != nil {
		choices = ", one of " + strings.Join(o.choices, ", ")
	}
	return fmt.Errorf("missing argument for %s: give %s=%s%s", clean(w), "--"+o.long, o.arg, choices)
}

func unknownOption(w string) error {
	if name := ofLeftOut(strings.TrimLeft(w, "-")); name != "" {
		return withoutPlugin(name)
	}
	hint := ""
	if near := nearestOption(strings.TrimLeft(w, "-")); near != "" && strings.HasPrefix(w, "--") {
		hint = fmt.Sprintf("; did you mean --%s?", near)
	}
	return fmt.Errorf("unknown option: %s%s (use --help to show all options)", clean(w), hint)
}

// nearestOption is the option or help topic whose name is written almost like
// name, or empty.
func nearestOption(name string) string {
	best, bestAway := "", max(2, len(name)/4)+1
	try := func(candidate string) {
		if away := distance(name, candidate); away < bestAway {
			best, bestAway = candidate, away
		}
	}
	for i := range options {
		try(options[i].long)
	}
	for _, topic := range []string{"help", "help-all", "help-proxy"} {
		try(topic)
	}
	if best == "" && len(name) > 3 {
		for i := range options { // an abbreviation, which no option has
			if strings.HasPrefix(options[i].long, name) {
				return options[i].long
			}
		}
	}
	return best
}

// distance is the number of letters to insert, delete or replace to come from
// a to b. Names longer than any option's count as far away.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var row [65]int
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// clean makes a word of the user fit for one line of text.
func clean(w string) string { return string(appendText(nil, w)) }
