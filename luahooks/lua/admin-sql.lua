-- A script of the proxy plugin that sends commands of the protocol which clients
-- have no statement for: PING, STATISTICS and so on, each as a COM_QUERY of
-- exactly that text. It shows how the proxy and the server take them.

local char = string.char

local function u16(n)
	return char(n % 256, math.floor(n / 256) % 256)
end

local function u32(n)
	return u16(n % 65536) .. u16(math.floor(n / 65536))
end

local function short(s) -- behind a length byte
	return char(#s) .. s
end

-- what an execution of a statement with one string parameter sends behind its
-- command: no cursor, one iteration, no NULL, types are sent
local function execute(id, value)
	return u32(id) .. char(0) .. u32(1) .. char(0) .. char(1)
		.. u16(proxy.MYSQL_TYPE_STRING) .. short(value)
end

-- text -> { command, its argument }
local statements = {
	["COMMIT SUICIDE"] = { proxy.COM_SHUTDOWN },
	["PING"]           = { proxy.COM_PING },
	["STATISTICS"]     = { proxy.COM_STATISTICS },
	["PROCINFO"]       = { proxy.COM_PROCESS_INFO },
	["TIME"]           = { proxy.COM_TIME },
	["DEBUG"]          = { proxy.COM_DEBUG },
	["PROCKILL"]       = { proxy.COM_PROCESS_KILL },
	["SETOPT"]         = { proxy.COM_SET_OPTION },
	["PREP"]           = { proxy.COM_STMT_PREPARE },
	["PREP1"]          = { proxy.COM_STMT_PREPARE, "SELECT ?" },
	["EXEC"]           = { proxy.COM_STMT_EXECUTE },
	["EXEC1"]          = { proxy.COM_STMT_EXECUTE, execute(1, "1234") },
	["DEAL"]           = { proxy.COM_STMT_CLOSE },
	["DEAL1"]          = { proxy.COM_STMT_CLOSE, u32(1) },
	["RESET"]          = { proxy.COM_STMT_RESET },
	["RESET1"]         = { proxy.COM_STMT_RESET, u32(1) },
	["FETCH"]          = { proxy.COM_STMT_FETCH },
	["FETCH1"]         = { proxy.COM_STMT_FETCH, u32(1) .. u32(128) },
	["FLIST"]          = { proxy.COM_FIELD_LIST },
	["FLIST1"]         = { proxy.COM_FIELD_LIST, "t1" .. char(0) },
	["TDUMP"]          = { proxy.COM_TABLE_DUMP },
	["TDUMP1"]         = { proxy.COM_TABLE_DUMP, short("test") .. short("t1") },
	["TDUMP2"]         = { proxy.COM_TABLE_DUMP, short("test") .. short("t2") },
	["BINLOGDUMP"]     = { proxy.COM_BINLOG_DUMP },
	["BINLOGDUMP1"]    = { proxy.COM_BINLOG_DUMP, u32(4) .. u16(0) .. u32(2) },
	["REGSLAVE"]       = { proxy.COM_REGISTER_SLAVE },
	-- no host, user, password, port, rank or primary
	["REGSLAVE1"]      = { proxy.COM_REGISTER_SLAVE,
		u32(1) .. short("") .. short("") .. short("") .. u16(0) .. u32(0) .. u32(0) },
}

-- what becomes of the responses
local to_ok, pass = {}, {}
for _, command in ipairs({ proxy.COM_SHUTDOWN, proxy.COM_SET_OPTION, proxy.COM_BINLOG_DUMP,
	proxy.COM_STMT_PREPARE, proxy.COM_STMT_FETCH, proxy.COM_FIELD_LIST, proxy.COM_TABLE_DUMP, proxy.COM_DEBUG }) do
	to_ok[command] = true
end
for _, command in ipairs({ proxy.COM_PING, proxy.COM_TIME, proxy.COM_PROCESS_KILL, proxy.COM_REGISTER_SLAVE,
	proxy.COM_STMT_EXECUTE, proxy.COM_STMT_RESET, proxy.COM_PROCESS_INFO }) do
	pass[command] = true
end

function read_query(packet)
	if string.byte(packet, 1) ~= proxy.COM_QUERY then
		return
	end
	local statement = statements[string.sub(packet, 2)]
	if not statement then
		return
	end
	proxy.queries:append(statement[1], char(statement[1]) .. (statement[2] or ""), { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	if pass[inj.id] then
		return
	end
	local raw = inj.resultset.raw
	if raw and string.byte(raw, 1) == proxy.MYSQLD_PACKET_ERR then
		return
	end
	if inj.id == proxy.COM_STATISTICS then
		proxy.response = {
			type = proxy.MYSQLD_PACKET_OK,
			resultset = {
				fields = { { name = "statisitics" } }, -- as clients of MySQL Proxy know it
				rows = { { raw } },
			},
		}
	elseif to_ok[inj.id] then
		-- a client that has sent a COM_QUERY would not understand the response
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
	else
		proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = "(admin-sql) no answer to command " .. inj.id .. " is known" }
	end
	return proxy.PROXY_SEND_RESULT
end
