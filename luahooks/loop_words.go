package luahooks

import (
	"hash/maphash"

	lua "github.com/yuin/gopher-lua"
)

// wordCache has short texts as Lua has them, and in capitals: the words of statements
// are the same ones over and over again. It belongs to its Lua state.
type wordCache struct{ list *[wordPlaces]word }

const (
	wordPlaces  = 1024 // a text has one place
	longestWord = 32   // bytes
)

type word struct {
	text         string
	value, upper lua.LValue // upper is nil until it is asked for
}

var wordSeed = maphash.MakeSeed()

// of is the word of text, nil for a long one.
func (c *wordCache) of(text string) *word {
	if len(text) > longestWord {
		return nil
	}
	if c.list == nil {
		c.list = new([wordPlaces]word)
	}
	w := &c.list[maphash.String(wordSeed, text)%wordPlaces]
	if w.text != text || w.value == nil {
		text = string(append([]byte(nil), text...)) // not a part of a statement
		*w = word{text: text, value: stringValue(text, text)}
	}
	return w
}

// value is text as Lua has it.
func (c *wordCache) value(text string) lua.LValue {
	if w := c.of(text); w != nil {
		return w.value
	}
	return lua.LString(text)
}

// upperOf is str, whose text is given beside, in capitals.
func (c *wordCache) upperOf(str lua.LValue, text string) lua.LValue {
	w := c.of(text)
	if w == nil {
		if b := upperBytes(text); b != nil {
			return bytesValue(b)
		}
		return str
	}
	if w.upper == nil {
		w.upper = w.value
		if b := upperBytes(text); b != nil {
			w.upper = bytesValue(b)
		}
	}
	return w.upper
}
