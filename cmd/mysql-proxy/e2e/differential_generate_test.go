package e2e

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
)

// generator makes scripts from episodes: short runs of lines about one feature.
// Several episodes are under way at a time and interleave, so that each meets
// the state that the others have left.
type generator struct {
	rng      *rand.Rand
	only     map[string]bool // the marks of episodes that this server understands
	reads    []template
	writes   []template
	settings []template
	exprs    []template
	texts    []template
	episodes []template
	slot     int
}

// template is an episode or a part of a statement; weight tells how often it is
// taken, in comparison with others of its list.
type template struct {
	weight int
	text   string
}

// newGenerator reads the grammar. marks are those of the server's flavour.
func newGenerator(seed uint64, marks ...string) *generator {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0)), only: map[string]bool{}}
	for _, m := range marks {
		g.only[m] = true
	}
	g.reads, g.writes, g.settings = g.lines(readGrammar), g.lines(writeGrammar), g.lines(settingGrammar)
	g.exprs, g.texts = g.lines(expressionGrammar), g.lines(textGrammar)
	g.episodes = g.blocks(noiseGrammar + stateGrammar + diagnosticGrammar + statementGrammar + commandGrammar)
	return g
}

// lines are the templates of a grammar with one a line, which may begin with
// its weight and a mark: "5 mariadb| text". Alone, text weighs 1.
func (g *generator) lines(grammar string) (list []template) {
	for line := range strings.SplitSeq(strings.TrimSpace(grammar), "\n") {
		list = g.add(list, line)
	}
	return list
}

// blocks are the templates of a grammar of several lines each, separated by
// empty lines; the first line is weight and mark.
func (g *generator) blocks(grammar string) (list []template) {
	for block := range strings.SplitSeq(strings.TrimSpace(grammar), "\n\n") {
		head, text, _ := strings.Cut(strings.TrimSpace(block), "\n")
		list = g.add(list, head+"| "+text)
	}
	return list
}

var templateHead = regexp.MustCompile(`^(\d*) ?(mariadb|mysql|bulk)?\| `)

func (g *generator) add(list []template, line string) []template {
	t := template{weight: 1, text: line}
	if m := templateHead.FindStringSubmatch(line); m != nil {
		if m[2] != "" && !g.only[m[2]] {
			return list
		}
		t.text = line[len(m[0]):]
		if m[1] != "" {
			t.weight, _ = strconv.Atoi(m[1]) // it is digits
		}
	}
	t.text = strings.ReplaceAll(t.text, "~", "`")
	return append(list, t)
}

// script makes a script of n steps.
func (g *generator) script(n int) (script []step) {
	var open [][]string
	last := 0
	for len(script) < n {
		if len(open) == 0 || len(open) < 3 && g.rng.IntN(8) == 0 {
			open = append(open, g.episode())
			last = len(open) - 1
		} else if g.rng.IntN(3) == 0 {
			last = g.rng.IntN(len(open))
		}
		line := open[last][0]
		if open[last] = open[last][1:]; len(open[last]) == 0 {
			open = append(open[:last], open[last+1:]...)
			last = max(0, len(open)-1)
		}
		s, err := parseStep(line)
		if err != nil {
			panic("grammar: " + err.Error())
		}
		s.ahead = s.ahead || g.rng.IntN(25) == 0
		script = append(script, s)
		if g.rng.IntN(12) == 0 {
			script = append(script, step{verb: "pause"})
		}
	}
	return script[:n]
}

// episode is the lines of an episode, expanded.
func (g *generator) episode() (lines []string) {
	e := &expansion{g: g}
	text := g.pick(g.episodes)
	for line := range strings.SplitSeq(text, "\n") {
		if after, ok := strings.CutPrefix(line, "? "); ok {
			if g.rng.IntN(2) == 0 {
				continue
			}
			line = after
		}
		line = e.expand(line)
		// Characters that no line can have are written as \t and \n in the grammar, by %T and %N.
		if strings.Contains(line, "%T") || strings.Contains(line, "%N") {
			sql := strings.NewReplacer("%T", "\t", "%N", "\n").Replace(line)
			line = fmt.Sprintf(":query %q", sql)
			if strings.HasPrefix(sql, ":") || strings.HasPrefix(sql, "+ ") { // stays a line
				line = strings.NewReplacer("-- x\n", " ", "-- comment\n", " ", "# LAST_INSERT_ID()\n", " ", "# c\n", " ", "\n", " ").Replace(sql)
			}
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return []string{"DO 0"}
	}
	return lines
}

func (g *generator) pick(list []template) string {
	total := 0
	for _, t := range list {
		total += t.weight
	}
	n := g.rng.IntN(total)
	for _, t := range list {
		if n -= t.weight; n < 0 {
			return t.text
		}
	}
	panic("unreachable")
}

// expansion expands the lines of one episode:
//
//	[[a|b]]     one of them; they nest
//	$R $W $V    a read, a write, an assignment to a session variable
//	$E $S       an expression, a text literal
//	$n          a small number
//	$w          white space or a comment
//	$x $y       a small number, the same in the whole episode
//	$p $q       a slot of a prepared statement, the same in the whole episode
type expansion struct {
	g     *generator
	x, y  string
	p, q  string
	depth int
}

func (e *expansion) expand(text string) string {
	e.depth++
	defer func() { e.depth-- }()
	var b strings.Builder
	for text != "" {
		at := strings.IndexAny(text, "[$")
		if at < 0 {
			break
		}
		b.WriteString(text[:at])
		text = text[at:]
		switch {
		case strings.HasPrefix(text, "[["):
			choices, rest := alternatives(text)
			b.WriteString(e.expand(choices[e.g.rng.IntN(len(choices))]))
			text = rest
		case text[0] == '$' && len(text) > 1 && text[1] >= 'A':
			b.WriteString(e.variable(text[1]))
			text = text[2:]
		default:
			b.WriteByte(text[0])
			text = text[1:]
		}
	}
	b.WriteString(text)
	return b.String()
}

// alternatives are the parts of the choice that text begins with.
func alternatives(text string) (choices []string, rest string) {
	depth, from := 0, 2
	for i := 0; i+1 < len(text); i++ {
		switch {
		case text[i:i+2] == "[[":
			depth++
			i++
		case text[i:i+2] == "]]":
			if depth--; depth == 0 {
				return append(choices, text[from:i]), text[i+2:]
			}
			i++
		case text[i] == '|' && depth == 1:
			choices = append(choices, text[from:i])
			from = i + 1
		}
	}
	panic("grammar: [[ without ]]: " + text)
}

func (e *expansion) variable(name byte) string {
	g := e.g
	small := func() string { return strconv.Itoa(g.rng.IntN(14)) }
	once := func(s *string, make func() string) string {
		if *s == "" {
			*s = make()
		}
		return *s
	}
	slot := func() string { g.slot++; return strconv.Itoa(g.slot) }
	switch name {
	case 'R':
		return e.expand(g.pick(g.reads))
	case 'W':
		return e.expand(g.pick(g.writes))
	case 'V':
		return e.expand(g.pick(g.settings))
	case 'E':
		if e.depth > 6 {
			return small()
		}
		return e.expand(g.pick(g.exprs))
	case 'S':
		return e.expand(g.pick(g.texts))
	case 'n':
		return small()
	case 'x':
		return once(&e.x, small)
	case 'y':
		return once(&e.y, small)
	case 'p':
		return once(&e.p, slot)
	case 'q':
		return once(&e.q, slot)
	case 'w':
		return []string{"", "", "", "", " ", "%T", "%N", "/* c */", "/**/ ", "/* ; @a */", "-- x%N", "# LAST_INSERT_ID()%N"}[g.rng.IntN(12)]
	}
	panic(fmt.Sprintf("grammar: no variable $%c", name))
}
