package packet

import "strconv"

// Capability is a set of capability flags. The low 32 bits are MySQL's, in the
// places they have in a greeting and a login; bit 32+n is MariaDB's extended
// flag n, which both carry in bytes that are reserved elsewhere.
type Capability uint64

// The capability flags.
const (
	// CapLongPassword is set by all software of MySQL's line. MariaDB calls it
	// CLIENT_MYSQL: a side that leaves it clear has MariaDB's extended flags.
	CapLongPassword     Capability = 1 << 0
	CapFoundRows        Capability = 1 << 1 // affected rows are matched rows
	CapLongFlag         Capability = 1 << 2
	CapConnectWithDB    Capability = 1 << 3 // the login has a database
	CapNoSchema         Capability = 1 << 4 // db.table is an error
	CapCompress         Capability = 1 << 5 // zlib
	CapODBC             Capability = 1 << 6
	CapLocalFiles       Capability = 1 << 7 // LOAD DATA LOCAL
	CapIgnoreSpace      Capability = 1 << 8 // sql_mode IGNORE_SPACE
	CapProtocol41       Capability = 1 << 9
	CapInteractive      Capability = 1 << 10 // interactive_timeout applies
	CapSSL              Capability = 1 << 11
	CapIgnoreSIGPIPE    Capability = 1 << 12
	CapTransactions     Capability = 1 << 13
	CapReserved         Capability = 1 << 14
	CapSecureConnection Capability = 1 << 15 // 20 byte challenge, length byte before the response
	CapMultiStatements  Capability = 1 << 16
	CapMultiResults     Capability = 1 << 17
	CapPSMultiResults   Capability = 1 << 18
	CapPluginAuth       Capability = 1 << 19 // greeting and login name a plugin
	CapConnectAttrs     Capability = 1 << 20 // the login has attributes
	CapPluginAuthLenenc Capability = 1 << 21 // the login's response has a length-encoded length
	CapExpiredPasswords Capability = 1 << 22 // the client can live with an expired password
	CapSessionTrack     Capability = 1 << 23 // OK carries session state
	CapDeprecateEOF     Capability = 1 << 24 // OK with 0xFE in place of EOF
	CapOptionalMetadata Capability = 1 << 25 // a flag says whether column definitions follow
	CapZstd             Capability = 1 << 26 // compression by zstd, the login has a level
	CapQueryAttributes  Capability = 1 << 27 // COM_QUERY has a prefix
	CapMultiFactor      Capability = 1 << 28
	CapExtension        Capability = 1 << 29 // MySQL: reserved. MariaDB: an obsolete flag
	CapSSLVerify        Capability = 1 << 30 // the client's own business
	CapRememberOptions  Capability = 1 << 31 // the client's own business, though some send it

	CapMariaDBProgress         Capability = 1 << 32 // progress reports
	CapMariaDBMulti            Capability = 1 << 33 // COM_MULTI, no longer there
	CapMariaDBBulk             Capability = 1 << 34 // COM_STMT_BULK_EXECUTE
	CapMariaDBExtendedMetadata Capability = 1 << 35 // column definitions have a further block
	CapMariaDBCacheMetadata    Capability = 1 << 36 // as CapOptionalMetadata, for prepared statements
	CapMariaDBBulkUnitResults  Capability = 1 << 37
)

const (
	// CapsFormat are the flags that change how packets are laid out in the
	// command phase. Both sides of a proxy that does not translate must have
	// the same of them in force.
	CapsFormat = CapCompress | CapSessionTrack | CapDeprecateEOF | CapOptionalMetadata | CapZstd |
		CapQueryAttributes | CapMariaDBProgress | CapMariaDBExtendedMetadata | CapMariaDBCacheMetadata |
		CapMariaDBBulkUnitResults
	// CapsBehaviour are the flags that change what a server does with a
	// statement. A server connection may serve a client only if they agree.
	CapsBehaviour = CapFoundRows | CapNoSchema | CapLocalFiles | CapIgnoreSpace | CapInteractive |
		CapMultiStatements | CapMultiResults | CapPSMultiResults

	capsLow      Capability = 1<<32 - 1 // MySQL's 32 flags
	capsExtended            = ^capsLow  // MariaDB's
)

// Has tells whether all flags of want are set.
func (c Capability) Has(want Capability) bool { return c&want == want }

// Effective is what is in force between a server and a client: the flags that
// both have set. MariaDB's extended ones count only if both sides leave
// CapLongPassword clear; in other software's packets their bytes mean nothing.
func Effective(server, client Capability) Capability {
	both := server & client
	if (server|client)&CapLongPassword != 0 {
		both &= capsLow
	}
	return both
}

var capabilityNames = [...]string{
	"LONG_PASSWORD", "FOUND_ROWS", "LONG_FLAG", "CONNECT_WITH_DB", "NO_SCHEMA", "COMPRESS", "ODBC", "LOCAL_FILES",
	"IGNORE_SPACE", "PROTOCOL_41", "INTERACTIVE", "SSL", "IGNORE_SIGPIPE", "TRANSACTIONS", "RESERVED",
	"SECURE_CONNECTION", "MULTI_STATEMENTS", "MULTI_RESULTS", "PS_MULTI_RESULTS", "PLUGIN_AUTH", "CONNECT_ATTRS",
	"PLUGIN_AUTH_LENENC_CLIENT_DATA", "CAN_HANDLE_EXPIRED_PASSWORDS", "SESSION_TRACK", "DEPRECATE_EOF",
	"OPTIONAL_RESULTSET_METADATA", "ZSTD_COMPRESSION_ALGORITHM", "QUERY_ATTRIBUTES", "MULTI_FACTOR_AUTHENTICATION",
	"CAPABILITY_EXTENSION", "SSL_VERIFY_SERVER_CERT", "REMEMBER_OPTIONS",
	"MARIADB_PROGRESS", "MARIADB_COM_MULTI", "MARIADB_STMT_BULK_OPERATIONS", "MARIADB_EXTENDED_METADATA",
	"MARIADB_CACHE_METADATA", "MARIADB_BULK_UNIT_RESULTS",
}

// String lists the flags by the names of the protocol's documentation, lowest
// first, with | between them; flags without a name as bitN. No flags give "0".
func (c Capability) String() string {
	if c == 0 {
		return "0"
	}
	var s []byte
	for i := range 64 {
		if c&(1<<i) == 0 {
			continue
		}
		if len(s) > 0 {
			s = append(s, '|')
		}
		if i < len(capabilityNames) {
			s = append(s, capabilityNames[i]...)
		} else {
			s = strconv.AppendInt(append(s, "bit"...), int64(i), 10)
		}
	}
	return string(s)
}
