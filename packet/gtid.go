package packet

type GTIDs struct{ s string }

func (g *GTIDs) Empty() bool                                 { return g.s == "" }
func (g *GTIDs) Contains(o *GTIDs) bool                      { return g.s == o.s }
func (g *GTIDs) Add(b []byte) error                          { g.s = string(b); return nil }
func (g *GTIDs) Merge(o *GTIDs)                              { g.s = o.s }
func AppendCausalWait(dst []byte, g *GTIDs, s string) []byte { return dst }
