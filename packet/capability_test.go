package packet

import "testing"

func TestEffectiveIsWhatBothSidesHave(t *testing.T) {
	const ext = CapMariaDBProgress | CapMariaDBCacheMetadata
	for _, c := range []struct {
		name                 string
		server, client, want Capability
	}{
		{"a client claims what was not offered", CapProtocol41, CapProtocol41 | CapQueryAttributes, CapProtocol41},
		{"a server offers what is not taken", CapProtocol41 | CapDeprecateEOF, CapProtocol41, CapProtocol41},
		{"extended between MariaDB and its client", CapProtocol41 | ext, CapProtocol41 | CapMariaDBProgress, CapProtocol41 | CapMariaDBProgress},
		{"MySQL's client at MariaDB", CapProtocol41 | ext, CapLongPassword | CapProtocol41 | ext, CapProtocol41},
		{"MariaDB's client at MySQL", CapLongPassword | CapProtocol41 | ext, CapProtocol41 | ext, CapProtocol41},
		{"both of MySQL", CapLongPassword | CapProtocol41 | ext, CapLongPassword | CapProtocol41 | ext, CapLongPassword | CapProtocol41},
	} {
		if got := Effective(c.server, c.client); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestCapabilityBitsAreWhereTheProtocolHasThem(t *testing.T) {
	for c, want := range map[Capability]uint64{
		CapCompress: 0x20, CapProtocol41: 0x200, CapSSL: 0x800, CapSecureConnection: 0x8000, CapPluginAuth: 0x80000,
		CapPluginAuthLenenc: 0x200000, CapSessionTrack: 0x800000, CapDeprecateEOF: 0x1000000,
		CapOptionalMetadata: 0x2000000, CapZstd: 0x4000000, CapQueryAttributes: 0x8000000,
		CapRememberOptions: 0x80000000, CapMariaDBProgress: 1 << 32, CapMariaDBBulkUnitResults: 1 << 37,
	} {
		if uint64(c) != want {
			t.Errorf("%v is %#x, want %#x", c, uint64(c), want)
		}
	}
}

func TestCapabilityString(t *testing.T) {
	for c, want := range map[Capability]string{
		0:                            "0",
		CapProtocol41 | CapSSL:       "PROTOCOL_41|SSL",
		CapRememberOptions:           "REMEMBER_OPTIONS",
		CapMariaDBBulkUnitResults:    "MARIADB_BULK_UNIT_RESULTS",
		CapLongPassword | 1<<38:      "LONG_PASSWORD|bit38",
		CapMariaDBProgress | CapZstd: "ZSTD_COMPRESSION_ALGORITHM|MARIADB_PROGRESS",
	} {
		if got := c.String(); got != want {
			t.Errorf("%#x: got %q, want %q", uint64(c), got, want)
		}
	}
	if !(CapSSL | CapZstd).Has(CapSSL) || CapSSL.Has(CapSSL|CapZstd) {
		t.Error("Has asks for all flags, not for any")
	}
}
