package luahooks

import (
	"math"

	lua "github.com/yuin/gopher-lua"
)

func (s *stdlib) openMath(l *lua.LState) {
	funcs := map[string]lua.LGFunction{
		"frexp":      mathFrexp,
		"ldexp":      mathLdexp,
		"max":        mathMax,
		"min":        mathMin,
		"modf":       mathModf,
		"random":     s.mathRandom,
		"randomseed": s.mathRandomSeed,
	}
	for name, f := range map[string]func(float64) float64{
		"abs": math.Abs, "acos": math.Acos, "asin": math.Asin, "atan": math.Atan, "ceil": math.Ceil,
		"cos": math.Cos, "cosh": math.Cosh, "exp": math.Exp, "floor": math.Floor, "log": math.Log,
		"log10": log10, "sin": math.Sin, "sinh": math.Sinh, "sqrt": math.Sqrt, "tan": math.Tan, "tanh": math.Tanh,
		"deg": func(x float64) float64 { return x / (math.Pi / 180) },
		"rad": func(x float64) float64 { return x * (math.Pi / 180) },
	} {
		funcs[name] = func(l *lua.LState) int {
			l.Push(lua.LNumber(f(checkNumber(l, 1))))
			return 1
		}
	}
	for name, f := range map[string]func(x, y float64) float64{
		"atan2": math.Atan2, "fmod": math.Mod, "mod": math.Mod, "pow": math.Pow,
	} {
		funcs[name] = func(l *lua.LState) int {
			l.Push(lua.LNumber(f(checkNumber(l, 1), checkNumber(l, 2))))
			return 1
		}
	}
	lib := s.library(l, "math", funcs)
	lib.RawSetString("pi", lua.LNumber(math.Pi))
	lib.RawSetString("huge", lua.LNumber(math.Inf(1)))
}

// log10 is exact for powers of ten, as C's is and Go's is not.
func log10(x float64) float64 {
	y := math.Log10(x)
	if r := math.Round(y); r != y && math.Abs(r) < 309 && math.Pow10(int(r)) == x {
		return r
	}
	return y
}

func mathFrexp(l *lua.LState) int {
	m, e := math.Frexp(checkNumber(l, 1))
	l.Push(lua.LNumber(m))
	l.Push(lua.LNumber(e))
	return 2
}

func mathLdexp(l *lua.LState) int {
	x := checkNumber(l, 1)
	l.Push(lua.LNumber(math.Ldexp(x, checkInt32(l, 2))))
	return 1
}

func mathMax(l *lua.LState) int {
	most := checkNumber(l, 1)
	for i := 2; i <= l.GetTop(); i++ {
		if x := checkNumber(l, i); x > most {
			most = x
		}
	}
	l.Push(lua.LNumber(most))
	return 1
}

func mathMin(l *lua.LState) int {
	least := checkNumber(l, 1)
	for i := 2; i <= l.GetTop(); i++ {
		if x := checkNumber(l, i); x < least {
			least = x
		}
	}
	l.Push(lua.LNumber(least))
	return 1
}

func mathModf(l *lua.LState) int {
	x := checkNumber(l, 1)
	whole, part := math.Modf(x)
	if math.IsInf(x, 0) {
		part = math.Copysign(0, x)
	}
	l.Push(lua.LNumber(whole))
	l.Push(lua.LNumber(part))
	return 2
}

// generator is glibc's rand: scripts that seed it with a constant, or not at all,
// get the numbers that they had before. Not for secrets.
type generator struct {
	r    [34]uint32 // a ring of the last ones
	next int
}

// seed begins a sequence.
func (g *generator) seed(n uint32) {
	if n == 0 {
		n = 1
	}
	word := int32(n)
	g.r[0] = n
	for i := 1; i < 31; i++ {
		next := 16807 * int64(word) % 2147483647
		if next < 0 {
			next += 2147483647
		}
		word = int32(next)
		g.r[i] = uint32(word)
	}
	for i := 31; i < 34; i++ {
		g.r[i] = g.r[i-31]
	}
	g.next = 34
	for range 310 {
		g.draw()
	}
}

// draw is the next number, of 31 bits.
func (g *generator) draw() uint32 {
	n := len(g.r)
	v := g.r[(g.next-31)%n] + g.r[(g.next-3)%n]
	g.r[g.next%n] = v
	if g.next++; g.next == 2*n {
		g.next = n
	}
	return v >> 1
}

func (s *stdlib) mathRandomSeed(l *lua.LState) int {
	s.random.seed(uint32(checkInt32(l, 1)))
	return 0
}

func (s *stdlib) mathRandom(l *lua.LState) int {
	const most = 1<<31 - 1
	r := float64(s.random.draw()%most) / most
	switch l.GetTop() {
	case 0:
		l.Push(lua.LNumber(r))
	case 1:
		high := checkInt32(l, 1)
		if high < 1 {
			argError(l, 1, "interval is empty")
		}
		l.Push(lua.LNumber(math.Floor(r*float64(high)) + 1))
	case 2:
		low, high := checkInt32(l, 1), checkInt32(l, 2)
		if low > high {
			argError(l, 2, "interval is empty")
		}
		l.Push(lua.LNumber(math.Floor(r*float64(int32(high-low+1))) + float64(low)))
	default:
		raise(l, "wrong number of arguments")
	}
	return 1
}
