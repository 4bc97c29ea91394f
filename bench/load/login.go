package main

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"

	"mysqlproxy/bench/wire"
)

var errGreeting = errors.New("malformed greeting")

// greeting is what the client needs of it.
type greeting struct {
	caps   uint32
	salt   []byte // borrowed
	plugin string
}

func parseGreeting(p []byte) (greeting, error) {
	var g greeting
	if len(p) > 3 && p[0] == 0xff {
		return g, fmt.Errorf("refused with ERR %d %q", binary.LittleEndian.Uint16(p[1:]), p[3:])
	}
	if len(p) == 0 || p[0] != 10 {
		return g, errGreeting
	}
	end := bytes.IndexByte(p, 0)
	if end < 0 || len(p) < end+1+4+8+1+2+1+2+2+1+10+12 {
		return g, errGreeting
	}
	p = p[end+1+4:]
	g.salt = append(g.salt, p[:8]...)
	g.caps = uint32(binary.LittleEndian.Uint16(p[9:])) | uint32(binary.LittleEndian.Uint16(p[14:]))<<16
	p = p[27:]
	g.salt = append(g.salt, p[:12]...)
	if len(p) > 13 {
		name := p[13:]
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		g.plugin = string(name)
	}
	return g, nil
}

// wanted is what the client can do of what the server offers.
func wanted(o options, server uint32) uint32 {
	caps := uint32(wire.CapLongPassword | wire.CapProtocol41 | wire.CapTransactions | wire.CapSecureConnection |
		wire.CapMultiResults | wire.CapPSMultiResults | wire.CapPluginAuth)
	if !o.noDeprecateEOF {
		caps |= wire.CapDeprecateEOF
	}
	if o.database != "" {
		caps |= wire.CapConnectWithDB
	}
	switch o.compress {
	case "zlib":
		caps |= wire.CapCompress
	case "zstd":
		caps |= wire.CapZstd
	}
	if o.tls == tlsMySQL {
		caps |= wire.CapSSL
	}
	return caps & (server | wire.CapLongPassword)
}

// sha2Password is MySQL's plugin, of which only the empty password is known here.
const sha2Password = "caching_sha2_password"

// zstdLevel is MySQL's default.
const zstdLevel = 3

func appendSSLRequest(dst []byte, caps uint32, seq byte) []byte {
	dst = wire.AppendHeader(dst, 32, seq)
	dst = binary.LittleEndian.AppendUint32(dst, caps)
	dst = append(dst, 0, 0, 0, 1, 45) // packets of 16 MiB, utf8mb4
	return append(dst, make([]byte, 23)...)
}

func appendLogin(dst []byte, o options, g greeting, caps uint32, seq byte) []byte {
	at := len(dst)
	dst = appendSSLRequest(dst, caps, seq) // with which a login begins
	dst = append(append(dst, o.user...), 0)
	reply := scramble(o.password, g.salt)
	dst = append(append(dst, byte(len(reply))), reply...)
	if caps&wire.CapConnectWithDB != 0 {
		dst = append(append(dst, o.database...), 0)
	}
	if caps&wire.CapPluginAuth != 0 {
		name := wire.NativePassword
		if g.plugin == sha2Password && o.password == "" {
			name = g.plugin
		}
		dst = append(append(dst, name...), 0)
	}
	if caps&wire.CapZstd != 0 {
		dst = append(dst, zstdLevel)
	}
	n := len(dst) - at - wire.HeaderLen
	dst[at], dst[at+1] = byte(n), byte(n>>8)
	return dst
}

// scramble is mysql_native_password's reply: nothing for an empty password.
func scramble(password string, salt []byte) []byte {
	if password == "" {
		return nil
	}
	once := sha1.Sum([]byte(password))
	twice := sha1.Sum(once[:])
	mix := sha1.Sum(append(append([]byte{}, salt...), twice[:]...))
	for i := range mix {
		mix[i] ^= once[i]
	}
	return mix[:]
}

// switched answers a request to log in by another plugin.
func switched(o options, p []byte) ([]byte, error) {
	name, salt, ok := bytes.Cut(p[1:], []byte{0})
	if ok && string(name) == sha2Password && o.password == "" {
		return []byte{0}, nil
	}
	if !ok || string(name) != wire.NativePassword {
		return nil, fmt.Errorf("the server wants %q to log in", name)
	}
	return scramble(o.password, bytes.TrimSuffix(salt, []byte{0})), nil
}
