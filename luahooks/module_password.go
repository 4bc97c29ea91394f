package luahooks

import (
	"crypto/sha1"
	"crypto/subtle"
	"fmt"
	"log/slog"

	lua "github.com/yuin/gopher-lua"

	"mysqlproxy/packet"
)

// passwordModule is mysql.password: the arithmetic of mysql_native_password.
// Arguments of a wrong size are the script's fault. They are logged and give an
// empty string or false, as in MySQL Proxy.
type passwordModule struct{ log *slog.Logger }

// open is the loader of mysql.password.
func (m passwordModule) open(l *lua.LState) int {
	return pushModule(l, "password", map[string]lua.LGFunction{
		"hash":       m.hash,
		"scramble":   m.scramble,
		"unscramble": m.unscramble,
		"check":      m.check,
	})
}

// challengeArg is the first 20 bytes of the first argument: scripts have a NUL
// behind them from servers that negotiate plugins.
func challengeArg(l *lua.LState) (challenge string, ok bool) {
	challenge = l.CheckString(1)
	if n := len(challenge); n != packet.ChallengeLen && n != packet.ChallengeLen+1 {
		return "", false
	}
	return challenge[:packet.ChallengeLen], true
}

// hashArg is an argument that must have the size of a hash.
func hashArg(l *lua.LState, arg int) (hash [sha1.Size]byte, ok bool) {
	s := l.CheckString(arg)
	copy(hash[:], s)
	return hash, len(s) == sha1.Size
}

func (m passwordModule) refuse(function string, l *lua.LState) {
	sizes := make([]int, l.GetTop())
	for i := range sizes {
		sizes[i] = len(l.ToString(i + 1))
	}
	m.log.Error(fmt.Sprintf("mysql.password.%s: arguments of a wrong size, %v bytes", function, sizes))
}

// hash returns SHA1(text): twice applied to a password, it is what servers
// store.
func (m passwordModule) hash(l *lua.LState) int {
	sum := sha1.Sum([]byte(l.CheckString(1)))
	l.Push(lua.LString(sum[:]))
	return 1
}

// scramble returns what a client answers to a challenge.
func (m passwordModule) scramble(l *lua.LState) int {
	challenge, ok1 := challengeArg(l)
	hashed, ok2 := hashArg(l, 2)
	if !ok1 || !ok2 {
		m.refuse("scramble", l)
		l.Push(lua.LString(""))
		return 1
	}
	response := packet.NativeResponse(hashed, []byte(challenge))
	l.Push(lua.LString(response[:]))
	return 1
}

// unscramble returns what a client must have hashed to answer so.
func (m passwordModule) unscramble(l *lua.LState) int {
	challenge := l.CheckString(1)
	response, ok1 := hashArg(l, 2)
	double, ok2 := hashArg(l, 3)
	if len(challenge) != packet.ChallengeLen || !ok1 || !ok2 {
		m.refuse("unscramble", l)
		l.Push(lua.LString(""))
		return 1
	}
	hashed := unscramble([]byte(challenge), response, double)
	l.Push(lua.LString(hashed[:]))
	return 1
}

func unscramble(challenge []byte, response, double [sha1.Size]byte) (hashed [sha1.Size]byte) {
	h := sha1.New()
	h.Write(challenge)
	h.Write(double[:])
	subtle.XORBytes(hashed[:], response[:], h.Sum(nil))
	return hashed
}

// check tells whether a response is right for an account.
func (m passwordModule) check(l *lua.LState) int {
	challenge, ok1 := challengeArg(l)
	response, ok2 := hashArg(l, 2)
	double, ok3 := hashArg(l, 3)
	ok := ok1 && ok2 && ok3
	if ok {
		_, ok = packet.VerifyNative(response[:], []byte(challenge), double)
	} else {
		m.refuse("check", l)
	}
	l.Push(lua.LBool(ok))
	return 1
}
