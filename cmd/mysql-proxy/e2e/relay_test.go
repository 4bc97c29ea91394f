package e2e

import (
	"io"
	"net"
	"testing"

	"mysqlproxy/engine/enginetest"
)

// spoil changes a piece of what the server sends on its way through a relay.
// off is the piece's offset in the stream.
type spoil func(piece []byte, off int) []byte

// startRelay starts a plain TCP relay to target and returns its address.
func startRelay(t *testing.T, target string, change spoil) string {
	t.Helper()
	ln := enginetest.Listen(t)
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go relay(client, target, change)
		}
	}()
	return ln.Addr().String()
}

func relay(client net.Conn, target string, change spoil) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
		client.Close()
	}()
	buf := make([]byte, 64<<10)
	for off := 0; ; {
		n, err := server.Read(buf)
		piece := buf[:n]
		if change != nil {
			piece = change(piece, off)
		}
		if _, werr := client.Write(piece); err != nil || werr != nil {
			return
		}
		off += n
	}
}

// flipAt flips one bit of the byte at offset at; dropAt leaves that byte out.
func flipAt(at int) spoil {
	return func(b []byte, off int) []byte {
		if i := at - off; i >= 0 && i < len(b) {
			b[i] ^= 0x04
		}
		return b
	}
}

func dropAt(at int) spoil {
	return func(b []byte, off int) []byte {
		if i := at - off; i >= 0 && i < len(b) {
			return append(b[:i:i], b[i+1:]...)
		}
		return b
	}
}
