package luahooks

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// The VM's errors in the words of C's Lua 5.1, with the name of the variable that
// they are about.

// inC puts an error that has just been raised into C's words. The stack is still
// that of the error.
func inC(l *lua.LState, message string) string {
	f := currentFrame(l)
	if !f.ok() || f.fn() == nil {
		return message
	}
	if !f.isLua() { // a function in Go that uses gopher-lua's checks
		if isTrampoline(f.fn()) && strings.HasSuffix(message, "attempt to call a non-function object") {
			return "attempt to call a " + l.Get(1).Type().String() + " value"
		}
		at := strings.Index(message, "bad argument #")
		if at < 0 {
			return message
		}
		if _, name, ok := strings.Cut(message[at:], " to "); !ok || strings.HasPrefix(name, "'") {
			return message // it is C's already
		}
		return argumentInC(l, message, at)
	}
	position := f.position() + " "
	text, ok := strings.CutPrefix(message, position)
	if !ok {
		return message
	}
	return position + vmErrorInC(l, f, text)
}

func vmErrorInC(l *lua.LState, f frame, text string) string {
	code := f.fn().Proto.Code
	if f.pc() < 0 || f.pc() >= len(code) {
		return text
	}
	inst := instruction(code[f.pc()])
	var one, other string
	switch {
	case scan(text, "attempt to index a non-table object(", &one):
		reg := inst.b()
		if op := inst.op(); op == lua.OP_SETTABLE || op == lua.OP_SETTABLEKS {
			reg = inst.a()
		}
		return typeErrorText("index", f, reg, one)
	case text == "attempt to call a non-function object":
		return typeErrorText("call", f, inst.a(), typeOf(l, inst.a()))
	case scan(text, "cannot perform concat operation between ", &one):
		one, other, _ = strings.Cut(one, " and ")
		if one == "string" || one == "number" {
			one = other
		}
		return "attempt to concatenate a " + one + " value"
	case strings.HasPrefix(text, "cannot perform ") && scan(text, text[:max(strings.Index(text, "between ")+8, 0)], &one):
		one, other, _ = strings.Cut(one, " and ")
		reg := inst.b()
		if one == "number" {
			one, reg = other, inst.c()
		}
		return typeErrorText("perform arithmetic on", f, reg, one)
	case text == "__unm undefined":
		return typeErrorText("perform arithmetic on", f, inst.b(), typeOf(l, inst.b()))
	case text == "__len undefined":
		return typeErrorText("get length of", f, inst.b(), typeOf(l, inst.b()))
	case scan(text, "attempt to compare ", &one):
		if one, other, ok := strings.Cut(one, " with "); ok && one == other {
			return "attempt to compare two " + one + " values"
		}
	case text == "for statement init must be a number":
		return "'for' initial value must be a number"
	case text == "for statement limit must be a number":
		return "'for' limit must be a number"
	case text == "for statement step must be a number":
		return "'for' step must be a number"
	case text == "too many recursions in settable", text == "too many recursions in gettable":
		return "loop in " + text[len("too many recursions in "):]
	}
	return text
}

// scan tells whether text begins with prefix, and takes what is behind it, up to
// a closing parenthesis if prefix ends with an opening one.
func scan(text, prefix string, rest *string) bool {
	after, ok := strings.CutPrefix(text, prefix)
	if !ok || prefix == "" {
		return false
	}
	if strings.HasSuffix(prefix, "(") {
		after, _, _ = strings.Cut(after, ")")
	}
	*rest = after
	return true
}

// typeErrorText is "attempt to index field 'x' (a nil value)".
func typeErrorText(op string, f frame, reg int, typ string) string {
	name, kind := variableName(f.fn().Proto, f.pc(), reg)
	if kind == "" {
		return fmt.Sprintf("attempt to %s a %s value", op, typ)
	}
	return fmt.Sprintf("attempt to %s %s '%s' (a %s value)", op, kind, name, typ)
}

// typeOf is the type of a register, or constant, of the running function.
func typeOf(l *lua.LState, reg int) string {
	if reg >= isConstant {
		return currentFrame(l).fn().Proto.Constants[reg-isConstant].Type().String()
	}
	return l.Get(reg + 1).Type().String()
}

// argumentInC rewrites gopher-lua's "bad argument #1 to f (string expected, got
// nil)", which begins at at.
func argumentInC(l *lua.LState, message string, at int) string {
	var n int
	var why string
	if _, err := fmt.Sscanf(message[at:], "bad argument #%d to", &n); err != nil {
		return message
	}
	if open := strings.Index(message[at:], " ("); open >= 0 {
		why = strings.TrimSuffix(message[at+open+2:], ")")
	}
	why = strings.TrimPrefix(why, "anonymous) (") // the function's name
	if n >= l.GetTop() {                          // the message is on the stack as well
		why = strings.Replace(why, ", got nil", ", got no value", 1)
	}
	return message[:at] + argMessage(l, n, why)
}

// instruction is one of gopher-lua's.
type instruction uint32

func (i instruction) op() int { return int(i >> 26) }
func (i instruction) a() int  { return int(i >> 18 & 0xff) }
func (i instruction) c() int  { return int(i >> 9 & 0x1ff) }
func (i instruction) b() int  { return int(i & 0x1ff) }
func (i instruction) bx() int { return int(i & 0x3ffff) }
func (i instruction) to() int { return i.bx() - 0x1ffff }

// isConstant is added to the number of an operand that is a constant.
const isConstant = 1 << 8

// calledName is the name by which a call was made, and what it is: global, local,
// method, field, upvalue, or "" where it cannot be told.
func calledName(f frame) (name, kind string) {
	if !f.ok() || f.lost() || f.isLua() && f.tailCalls() > 0 {
		return "", ""
	}
	caller := f.caller()
	if !caller.isLua() {
		return "", ""
	}
	p := caller.fn().Proto
	if caller.pc() < 0 || caller.pc() >= len(p.Code) {
		return "", ""
	}
	switch inst := instruction(p.Code[caller.pc()]); inst.op() {
	case lua.OP_CALL, lua.OP_TAILCALL, lua.OP_TFORLOOP:
		return variableName(p, caller.pc(), inst.a())
	}
	return "", ""
}

// variableName names what is in a register before the instruction at pc. kind is
// "" where it cannot be told.
func variableName(p *lua.FunctionProto, pc, reg int) (name, kind string) {
	if reg >= isConstant {
		return "", ""
	}
	if name := localName(p, pc, reg); name != "" {
		return name, "local"
	}
	at := lastSetter(p, pc, reg)
	if at < 0 {
		return "", ""
	}
	inst := instruction(p.Code[at])
	switch inst.op() {
	case lua.OP_GETGLOBAL:
		return constantName(p, isConstant+inst.bx()), "global"
	case lua.OP_MOVE, lua.OP_MOVEN:
		if inst.b() < inst.a() {
			return variableName(p, at, inst.b())
		}
	case lua.OP_GETTABLE, lua.OP_GETTABLEKS:
		return constantName(p, inst.c()), "field"
	case lua.OP_GETUPVAL:
		if inst.b() < len(p.DbgUpvalues) {
			return p.DbgUpvalues[inst.b()], "upvalue"
		}
		return "?", "upvalue"
	case lua.OP_SELF:
		return constantName(p, inst.c()), "method"
	}
	return "", ""
}

func constantName(p *lua.FunctionProto, operand int) string {
	if i := operand - isConstant; i >= 0 && i < len(p.Constants) {
		if s, ok := p.Constants[i].(lua.LString); ok {
			return string(s)
		}
	}
	return "?"
}

// localName is the local variable in a register. gopher-lua notes where variables
// end wrongly in a function that uses a register for two of them: such a function
// has no names here.
func localName(p *lua.FunctionProto, pc, reg int) string {
	if reg >= len(p.DbgLocals) {
		return ""
	}
	for _, v := range p.DbgLocals {
		if v.EndPc == 0 {
			return ""
		}
	}
	// Those of a for loop, in parentheses, seem to begin before their values are there.
	if v := p.DbgLocals[reg]; v.StartPc <= pc && pc < v.EndPc && v.Name[0] != '(' {
		return v.Name
	}
	return ""
}

// lastSetter is the last instruction before pc that sets a register, -1 if there
// is none.
func lastSetter(p *lua.FunctionProto, pc, reg int) int {
	last := -1
	for at := 0; at < pc && at < len(p.Code); at++ {
		inst := instruction(p.Code[at])
		a := inst.a()
		sets := false
		switch inst.op() {
		case lua.OP_SETGLOBAL, lua.OP_SETUPVAL, lua.OP_SETTABLE, lua.OP_SETTABLEKS, lua.OP_EQ, lua.OP_LT,
			lua.OP_LE, lua.OP_TEST, lua.OP_RETURN, lua.OP_CLOSE, lua.OP_NOP:
		case lua.OP_LOADNIL:
			sets = reg >= a && reg <= inst.b()
		case lua.OP_SELF:
			sets = reg == a || reg == a+1
		case lua.OP_CALL, lua.OP_TAILCALL, lua.OP_VARARG:
			sets = reg >= a
		case lua.OP_TFORLOOP:
			sets = reg >= a+2
		case lua.OP_FORLOOP, lua.OP_FORPREP:
			sets = reg >= a && reg <= a+3
		case lua.OP_JMP:
			if to := at + 1 + inst.to(); to > at && to <= pc {
				at = to - 1
			}
			continue
		case lua.OP_SETLIST:
			if inst.c() == 0 {
				at++
			}
		case lua.OP_CLOSURE:
			sets = reg == a
			if sets {
				last = at
			}
			if inst.bx() < len(p.FunctionPrototypes) {
				at += int(p.FunctionPrototypes[inst.bx()].NumUpvalues)
			}
			continue
		default:
			sets = reg == a
		}
		if sets {
			last = at
		}
	}
	return last
}
