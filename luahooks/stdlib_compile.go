package luahooks

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"
)

// Some of what the VM does otherwise than C's Lua can be put right in the syntax
// tree, before it is compiled:
//
//	a .. b .. c            a call of a function that prints numbers with %.14g
//	for i = "1", "249"     its bounds pass through functions that read strings
//	0xffffffffffffffff     written so that gopher-lua reads it
//
// The functions are constants of the chunk, so that no script can see or replace
// them. What cannot matter (string literals, numbers) is left to the VM.

// marks stand in the tree for the functions; they are replaced by them once the
// chunk is compiled. They are random: no script has them as strings.
var (
	markPrefix = "\x00" + rand.Text()
	marks      = map[lua.LString]*lua.LFunction{
		lua.LString(markPrefix + "concat"):  newQuick(nil, concat, quickConcat),
		lua.LString(markPrefix + "initial"): newQuick(nil, forBound("initial value"), quickBound),
		lua.LString(markPrefix + "limit"):   newQuick(nil, forBound("limit"), quickBound),
		lua.LString(markPrefix + "step"):    newQuick(nil, forBound("step"), quickBound),
	}
)

// compileText parses and compiles a chunk. name is what stands before the line in
// messages: see chunkID.
func compileText(text io.Reader, name string) (proto *lua.FunctionProto, err error) {
	chunk, err := parse.Parse(text, name)
	if err != nil {
		return nil, err
	}
	return compileChunk(chunk, name)
}

// compileChunk compiles a syntax tree, which it changes.
func compileChunk(chunk []ast.Stmt, name string) (proto *lua.FunctionProto, err error) {
	defer func() { // the compiler panics at what it did not foresee
		switch r := recover().(type) {
		case nil:
		case tooDeep:
			proto, err = nil, fmt.Errorf("%s:%d: chunk has too many syntax levels", name, int(r))
		case malformed:
			proto, err = nil, fmt.Errorf("%s:%d: malformed number near '%s'", name, r.line, r.text)
		default:
			proto, err = nil, fmt.Errorf("%s: %v", name, r)
		}
	}()
	(&repair{}).block(chunk)
	proto, err = lua.Compile(chunk, name)
	if err == nil {
		unmark(proto)
	}
	return proto, err
}

// unmark puts the functions in the places of their marks.
func unmark(p *lua.FunctionProto) {
	for i, c := range p.Constants {
		if s, ok := c.(lua.LString); ok && strings.HasPrefix(string(s), markPrefix) {
			if f := marks[s]; f != nil {
				p.Constants[i] = f
			}
		}
	}
	for _, inner := range p.FunctionPrototypes {
		unmark(inner)
	}
}

// tooDeep and malformed leave the repair; tooDeep is the line.
type tooDeep int
type malformed struct {
	line int
	text string
}

// maxSyntaxDepth is how deep a tree may be: the compiler recurses.
const maxSyntaxDepth = 10_000

// repair walks over a tree. It is used once.
type repair struct{ depth int }

func (r *repair) block(stmts []ast.Stmt) {
	for i, s := range stmts {
		r.stmt(s)
		if a, ok := s.(*ast.AssignStmt); ok && len(a.Lhs) > 1 {
			stmts[i] = together(a)
		}
	}
}

// together makes a block of an assignment to several targets at once, in which
// all is read before anything is written: gopher-lua writes some targets before
// it has read others, so that a, b = b, a loses one of the two.
//
//	do local (o1), (k1) = t, i; local (v1), (v2) = x, y; b = (v2); (o1)[(k1)] = (v1) end
func together(a *ast.AssignStmt) ast.Stmt {
	block := &ast.DoBlockStmt{}
	block.SetLine(a.Line())
	block.SetLastLine(a.LastLine())
	local := func(names []string, exprs []ast.Expr) {
		s := &ast.LocalAssignStmt{Names: names, Exprs: exprs}
		s.SetLine(a.Line())
		s.SetLastLine(a.LastLine())
		block.Stmts = append(block.Stmts, s)
	}
	ident := func(name string) ast.Expr {
		e := &ast.IdentExpr{Value: name}
		e.SetLine(a.Line())
		return e
	}
	var values []string
	var writes []ast.Stmt
	for i, target := range a.Lhs {
		value := fmt.Sprintf("(v%d)", i) // no script can name it
		values = append(values, value)
		if t, ok := target.(*ast.AttrGetExpr); ok {
			object, key := fmt.Sprintf("(o%d)", i), fmt.Sprintf("(k%d)", i)
			local([]string{object, key}, []ast.Expr{single(t.Object), single(t.Key)})
			t.Object, t.Key = ident(object), ident(key)
		}
		w := &ast.AssignStmt{Lhs: []ast.Expr{target}, Rhs: []ast.Expr{ident(value)}}
		w.SetLine(a.Line())
		w.SetLastLine(a.LastLine())
		writes = append(writes, w)
	}
	local(values, a.Rhs)
	for i := len(writes) - 1; i >= 0; i-- { // as Lua does
		block.Stmts = append(block.Stmts, writes[i])
	}
	return block
}

// single keeps a call from giving more than one value.
func single(e ast.Expr) ast.Expr {
	switch n := e.(type) {
	case *ast.FuncCallExpr:
		n.AdjustRet = true
	case *ast.Comma3Expr:
		n.AdjustRet = true
	}
	return e
}

func (r *repair) enter(line int) {
	if r.depth++; r.depth > maxSyntaxDepth {
		panic(tooDeep(line))
	}
}

func (r *repair) stmt(s ast.Stmt) {
	r.enter(s.Line())
	defer func() { r.depth-- }()
	switch s := s.(type) {
	case *ast.AssignStmt:
		r.exprs(s.Lhs)
		r.exprs(s.Rhs)
	case *ast.LocalAssignStmt:
		r.exprs(s.Exprs)
	case *ast.FuncCallStmt:
		s.Expr = r.expr(s.Expr)
	case *ast.DoBlockStmt:
		r.block(s.Stmts)
	case *ast.WhileStmt:
		s.Condition = r.expr(s.Condition)
		r.block(s.Stmts)
	case *ast.RepeatStmt:
		s.Condition = r.expr(s.Condition)
		r.block(s.Stmts)
	case *ast.IfStmt:
		s.Condition = r.expr(s.Condition)
		r.block(s.Then)
		r.block(s.Else)
	case *ast.NumberForStmt:
		s.Init = bound(r.expr(s.Init), "initial")
		s.Limit = bound(r.expr(s.Limit), "limit")
		if s.Step != nil {
			s.Step = bound(r.expr(s.Step), "step")
		}
		r.block(s.Stmts)
	case *ast.GenericForStmt:
		r.exprs(s.Exprs)
		r.block(s.Stmts)
	case *ast.FuncDefStmt:
		if s.Name.Func != nil {
			s.Name.Func = r.expr(s.Name.Func)
		}
		if s.Name.Receiver != nil {
			s.Name.Receiver = r.expr(s.Name.Receiver)
		}
		r.block(s.Func.Stmts)
	case *ast.ReturnStmt:
		r.exprs(s.Exprs)
	}
}

func (r *repair) exprs(list []ast.Expr) {
	for i, e := range list {
		list[i] = r.expr(e)
	}
}

func (r *repair) expr(e ast.Expr) ast.Expr {
	if e == nil {
		return nil
	}
	r.enter(e.Line())
	defer func() { r.depth-- }()
	switch e := e.(type) {
	case *ast.NumberExpr:
		e.Value = number(e)
	case *ast.AttrGetExpr:
		e.Object, e.Key = r.expr(e.Object), r.expr(e.Key)
	case *ast.TableExpr:
		for _, f := range e.Fields {
			f.Key, f.Value = r.expr(f.Key), r.expr(f.Value)
		}
	case *ast.FuncCallExpr:
		e.Func, e.Receiver = r.expr(e.Func), r.expr(e.Receiver)
		r.exprs(e.Args)
	case *ast.LogicalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.RelationalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.ArithmeticOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.UnaryMinusOpExpr:
		e.Expr = r.expr(e.Expr)
	case *ast.UnaryNotOpExpr:
		e.Expr = r.expr(e.Expr)
	case *ast.UnaryLenOpExpr:
		e.Expr = r.expr(e.Expr)
	case *ast.FunctionExpr:
		r.block(e.Stmts)
	case *ast.StringConcatOpExpr:
		return r.concat(e)
	}
	return e
}

// number is the text of a number as gopher-lua reads it right.
func number(e *ast.NumberExpr) string {
	f, n := strtod(e.Value)
	if n != len(e.Value) {
		panic(malformed{e.Line(), e.Value})
	}
	if math.IsInf(f, 0) {
		return "inf"
	}
	if f < 1<<53 && f == math.Trunc(f) {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// maxConcat is how many operands one call takes: each needs a register.
const maxConcat = 50

// concat makes a call of a chain of concatenations, which associate to the right.
func (r *repair) concat(e *ast.StringConcatOpExpr) ast.Expr {
	var operands []ast.Expr
	literal := true
	var last ast.Expr = e
	for {
		c, ok := last.(*ast.StringConcatOpExpr)
		if !ok {
			break
		}
		operands = append(operands, r.operand(c.Lhs, &literal))
		last = c.Rhs
	}
	operands = append(operands, r.operand(last, &literal))
	if literal {
		var text []byte
		for _, o := range operands {
			switch o := o.(type) {
			case *ast.StringExpr:
				text = append(text, o.Value...)
			case *ast.NumberExpr:
				f, _ := strtod(o.Value)
				text = appendNumberText(text, f)
			}
		}
		return at(&ast.StringExpr{Value: string(text)}, e.Line())
	}
	for len(operands) > maxConcat {
		cut := len(operands) - maxConcat
		operands = append(operands[:cut:cut], hidden("concat", e.Line(), operands[cut:]...))
	}
	return hidden("concat", e.Line(), operands...)
}

// operand repairs an operand. literal stays true as long as all are known.
func (r *repair) operand(e ast.Expr, literal *bool) ast.Expr {
	e = r.expr(e)
	switch n := e.(type) {
	case *ast.StringExpr, *ast.NumberExpr:
		return e
	case *ast.FuncCallExpr:
		n.AdjustRet = true // one value
	case *ast.Comma3Expr:
		n.AdjustRet = true
	}
	*literal = false
	return e
}

func at(e *ast.StringExpr, line int) *ast.StringExpr {
	e.SetLine(line)
	return e
}

// hidden is a call of one of our functions, for one value.
func hidden(name string, line int, args ...ast.Expr) ast.Expr {
	call := &ast.FuncCallExpr{Func: at(&ast.StringExpr{Value: markPrefix + name}, line), Args: args, AdjustRet: true}
	call.SetLine(line)
	return call
}

// bound wraps a bound of a for loop unless it is a number for certain.
func bound(e ast.Expr, name string) ast.Expr {
	switch n := e.(type) {
	case *ast.NumberExpr, *ast.ArithmeticOpExpr, *ast.UnaryMinusOpExpr, *ast.UnaryLenOpExpr:
		return e
	case *ast.FuncCallExpr:
		n.AdjustRet = true
	case *ast.Comma3Expr:
		n.AdjustRet = true
	}
	return hidden(name, e.Line(), e)
}

// forBound is the function that a bound passes through.
func forBound(what string) lua.LGFunction {
	return func(l *lua.LState) int {
		v := l.Get(1)
		if v.Type() != lua.LTNumber {
			f, ok := toNumber(v)
			if !ok {
				raise(l, "'for' "+what+" must be a number")
			}
			v = lua.LNumber(f)
		}
		l.Push(v)
		return 1
	}
}

// syntaxErrorText puts an error of the parser or compiler into C's form. lines is
// how many the chunk has: at its end gopher-lua does not say where it is.
func syntaxErrorText(err error, name string, lines int) string {
	var p *parse.Error
	var c *lua.CompileError
	switch {
	case errors.As(err, &p):
		line, near := p.Pos.Line, p.Token
		if line == parse.EOF {
			line, near = lines, "<eof>"
		}
		message := p.Message
		switch message {
		case "unterminated string":
			message = "unfinished string"
		case "syntax error", "parse error":
			message = "unexpected symbol"
		}
		return fmt.Sprintf("%s:%d: %s near '%s'", name, line, message, near)
	case errors.As(err, &c):
		return fmt.Sprintf("%s:%d: %s", name, c.Line, c.Message)
	}
	return err.Error()
}

// chunkID is what Lua 5.1 prints for the name of a chunk: "=name" and "@file" as
// they are, cut to 59 bytes, and anything else as [string "its first line"].
func chunkID(name string) string {
	const room = 60
	switch {
	case strings.HasPrefix(name, "="):
		return name[1:min(len(name), room)]
	case strings.HasPrefix(name, "@"):
		name = name[1:]
		if most := room - len(" '...' ") - 1; len(name) > most {
			return "..." + name[len(name)-most:]
		}
		return name
	}
	const most = room - len(` [string "..."] `) - 1
	line := name
	if i := strings.IndexAny(line, "\r\n"); i >= 0 {
		line = line[:i]
	}
	line = line[:min(len(line), most)]
	if line != name {
		line += "..."
	}
	return `[string "` + line + `"]`
}
