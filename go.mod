module mysqlproxy

go 1.26

require (
	filippo.io/edwards25519 v1.1.0
	github.com/go-sql-driver/mysql v1.9.3
	github.com/klauspost/compress v1.20.3
	github.com/panjf2000/gnet/v2 v2.10.0
	github.com/yuin/gopher-lua v1.1.2
	golang.org/x/crypto v0.33.0
	golang.org/x/sys v0.30.0
)

require (
	go.uber.org/multierr v1.11.0 // indirect
	go.uber.org/zap v1.28.0 // indirect
	gopkg.in/natefinch/lumberjack.v2 v2.2.1 // indirect
)
