package reactor

import (
	"crypto/tls"
	"runtime"
	"testing"
)

func TestSessionsAreResumed(t *testing.T) {
	// On whatever loop the client's connections are: all have the same tickets.
	cfg, ccfg := serverConfig(), clientConfig()
	ccfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	for i := range 3 {
		l := start(t)
		r := &recorder{data: echo}
		c, peer := l.pair("tcp", r)
		resumed := false
		l.do(func() {
			c.StartTLS(cfg, true, func(s tls.ConnectionState, err error) { resumed = s.DidResume })
		})
		far := tls.Client(peer, ccfg)
		mustWrite(t, far, []byte("hello"))
		mustRead(t, far, 5)
		if got := on(l, func() bool { return resumed }); got != (i > 0) {
			t.Errorf("connection %d: resumed %v", i, got)
		}
		far.Close()
		eventually(t, "eof", func() bool { return r.history() == "data eof" })
	}
	for i := range 3 { // and as a client
		l := start(t)
		r := &recorder{data: echo}
		c, peer := l.pair("tcp", r)
		resumed := false
		l.do(func() {
			c.StartTLS(ccfg, false, func(s tls.ConnectionState, err error) { resumed = s.DidResume })
		})
		far := tls.Server(peer, cfg)
		mustWrite(t, far, []byte("hello"))
		mustRead(t, far, 5)
		if got := on(l, func() bool { return resumed }); !got && i > 0 {
			t.Errorf("connection %d of a client: not resumed", i)
		}
		l.do(func() { c.Close(nil) })
	}
}

func TestConfigurationIsAdaptedOnce(t *testing.T) {
	cfg := &tls.Config{Renegotiation: tls.RenegotiateFreelyAsClient}
	own := adapted(cfg)
	if own == cfg || !own.DynamicRecordSizingDisabled || own.Renegotiation != tls.RenegotiateNever {
		t.Error("not adapted")
	}
	if adapted(cfg) != own || adapted(own) != own {
		t.Error("adapted again")
	}
	if cfg.DynamicRecordSizingDisabled {
		t.Error("the caller's is changed")
	}
}

func TestConfigurationIsForgottenWithItsOriginal(t *testing.T) {
	adapted(&tls.Config{ServerName: "forgotten"})
	eventually(t, "it is forgotten", func() bool {
		runtime.GC()
		found := false
		configs.Range(func(_, own any) bool {
			found = found || own.(*tls.Config).ServerName == "forgotten"
			return true
		})
		return !found
	})
}
