--[[
rw-splitting.lua - reads go to the replicas, everything else to the primary

What it does
  A statement goes to a replica only if it is certain that any server gives the
  same answer: one SELECT (SHOW TABLES, DESCRIBE, WITH ... SELECT, VALUES, TABLE)
  without side effects, outside of a transaction, with autocommit on. All else
  goes to the primary. A session that has state on its connection with the
  primary stays there as long as the state lives:

    until it is over      transaction, autocommit=0, LOCK TABLES, prepared statements
    until the session     user variables, temporary tables, SET, GET_LOCK, HANDLER,
    ends, or resets the   PREPARE, CALL, XA, sequences, unknown functions and
    connection            statements, DROP DATABASE
    until it ends         COM_CHANGE_USER, COM_SET_OPTION, replication

  SET NAMES, the default database and LAST_INSERT_ID() travel with the session.
  FOUND_ROWS(), ROW_COUNT(), SHOW WARNINGS and the like after a read that a
  replica answered: the read is run once more on the primary, unseen, and then
  they are asked there.
  For a short while after it has written a session reads from the primary, to see
  what it wrote.
  A comment /* route=primary */ in a statement sends it to the primary.

How to start it
  mysql-proxy --proxy-address=:4040 \
    --proxy-backend-addresses=10.0.0.1:3306 \
    --proxy-read-only-backend-addresses=10.0.0.2:3306 \
    --proxy-read-only-backend-addresses=10.0.0.3:3306 \
    --proxy-lua-script=scripts/rw-splitting.lua

How the connections come about
  The proxy knows no passwords: each connection with a server was opened by the
  login of a client. A session owns one with the primary from its login to its
  end, so that it can never be without. Connections with replicas come from
  logins as well: where a replica has too few idle ones for the users that come
  from a client's address, the next login from there goes to the replica first
  and leaves that connection to the pool. Then the session takes an idle
  connection with the primary that a client has left, or the proxy opens one: it
  asks the client for its answer once more (an AuthSwitch).
  So replicas are used once the first client has come and gone. To have that at
  once, let the application open and close a connection a few times after the
  start of the proxy; it has to be the application's own driver, user and
  character set, for a connection serves only clients with the same.
  Or let the proxy know the passwords: with --users-file, --auth-sync-user or
  --auth=relay it opens connections itself where none is idle. Then replicas are
  used from the first statement on, and warm_up = false is best.

What to set: the table "settings" below.

Limits
  - Each event thread of the proxy has connections of its own, so warm up more
    with more of them, or use --event-threads=1.
  - A login that goes to a replica first is refused if the replica refuses it, so
    users have to be the same on all servers; else set warm_up = false.
  - Where a client cannot be asked once more (MySQL Proxy 0.8.5, drivers without
    plugins), logins go to replicas only if a connection with the primary is idle
    for each user known from the client's address. One of a user who has none
    waits for one; on 0.8.5 it gets error 1053 at its first command.
  - A login with MySQL's caching_sha2_password that a replica has not seen since it
    was started would have to give its password there, and then cannot be asked
    once more. Unless a connection with the primary is idle for it, it goes to the
    primary instead; but one that has been switched to that plugin only then
    gets error 1053 at its first command.
  - Sessions without a default database stay on the primary.
  - User variables and locks that a trigger sets are not seen.
  - How far a replica lags behind is not looked at; ro-balance.lua does that.
  - CONNECTION_ID() and KILL are about the connection with the primary. A read on
    a replica cannot be killed by it.
  - MySQL Proxy 0.8.5 does not reset a connection that it gives to another
    session: there LAST_INSERT_ID() of that other session can be seen.
]]

local settings = {
	warm_up = true,           -- let logins open connections with replicas
	min_idle_connections = 4, -- per replica and user; below that a login opens one
	max_idle_connections = 8, -- per user with the primary; above that they are closed
	primary_after_write = 2,  -- seconds that a session reads from the primary after it wrote
}

-- Shared by all sessions. A connection with a primary that is idle because its
-- session reads on a replica is reserved: nobody else may keep it.
local shared = proxy.global.rwsplit
if not shared then
	shared = {
		reserved = {},     -- server address and thread id => true
		away = {},         -- user => number of sessions that read on a replica
		claims = {},       -- user => number of logins on their way to a replica
		seen = {}, addresses = 0, -- client address => { user => true }
		asks = {},         -- client address => whether its clients can be asked once more
		turn = 0,
		counts = { primary = 0, replica = 0 },
		verdicts = nil,    -- on statements, see classify
	}
	proxy.global.rwsplit = shared
end

local RW, RO, DOWN = proxy.BACKEND_TYPE_RW, proxy.BACKEND_TYPE_RO, proxy.BACKEND_STATE_DOWN
local QUIT, INIT_DB, QUERY, DROP_DB, CHANGE_USER, BINLOG_DUMP, REGISTER_SLAVE = 1, 2, 3, 6, 17, 18, 21
local PREPARE, EXECUTE, LONG_DATA, CLOSE, SET_OPTION, BINLOG_DUMP_GTID, RESET = 22, 23, 24, 25, 27, 30, 31

-- What a queued command is for.
local FINAL, READ, PREPARED, RESETTING, CHECKED_DB, STEP, ASK_INSERT_ID = 1, 2, 3, 4, 5, 6, 7

-- This session.
local born                 -- "primary" or "replica": where its login went
local ready = false        -- logged in, and it has a connection with the primary
local refused              -- why it is of no use
local primary              -- index of the backend
local home                 -- name of its connection while it reads on a replica
local home_is_open         -- the proxy has not only promised it
local switched             -- a server has asked the client by an AuthSwitch
local gave_password        -- or for its password
local claimed              -- users that a claim was made for
local busy = false         -- a command is under way
local pins = {}            -- reason => true, or "session" where no reset helps
local statements, open_statements = {}, 0 -- id => whether it writes
local in_trans, auto_commit = false, true
local synced = true        -- the connection with the primary has the session's state
local names, new_names     -- the SET NAMES to repeat elsewhere
local insert_id            -- what LAST_INSERT_ID() gives, nil if 0
local ask_insert_id = false -- it may have changed
local last_read            -- the read that a replica answered last, nil if not the last command
local last_write = 0
local todo = {}            -- commands to queue one after the other
local plan                 -- the read to go on with

----------------------------------------------------------------------------
-- Classification: which words a statement has. The script runs once for each
-- connection, so the sets of words are made once and shared.

shared.sets = shared.sets or {} -- list of words => { word => true }

local function set(words)
	local s = shared.sets[words]
	if not s then
		s = {}
		for word in string.gmatch(words, "%S+") do s[word] = true end
		shared.sets[words] = s
	end
	return s
end

local FUNCTIONS = set("ABS ACOS ADDDATE ADDTIME AES_DECRYPT AES_ENCRYPT AGAINST ALL AND ANY ANY_VALUE AS ASCII ASIN ATAN ATAN2 AVG " ..
	"BENCHMARK BETWEEN BIN BINARY BIN_TO_UUID BIT_AND BIT_COUNT BIT_LENGTH BIT_OR BIT_XOR BY CASE CAST CEIL CEILING CHAR CHARACTER_LENGTH CHARSET " ..
	"CHAR_LENGTH COALESCE COERCIBILITY COLLATION COMPRESS CONCAT CONCAT_WS CONV CONVERT CONVERT_TZ COS COT COUNT CRC32 CUME_DIST CURDATE " ..
	"CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP CURRENT_USER CURTIME DATABASE DATE DATEDIFF DATETIME DATE_ADD DATE_FORMAT DATE_SUB DAY DAYNAME " ..
	"DAYOFMONTH DAYOFWEEK DAYOFYEAR DECIMAL DEFAULT DEGREES DENSE_RANK DISTINCT DIV DOUBLE ELSE ELT END EXCEPT EXISTS EXP EXPORT_SET EXTRACT " ..
	"EXTRACTVALUE FIELD FILTER FIND_IN_SET FIRST_VALUE FLOAT FLOOR FORMAT FROM FROM_BASE64 FROM_DAYS FROM_UNIXTIME GEOMFROMTEXT GREATEST GROUP " ..
	"GROUPING GROUP_CONCAT HAVING HEX HOUR IF IFNULL IN INDEX INET6_ATON INET6_NTOA INET_ATON INET_NTOA INSERT INSTR INTERSECT INTERVAL IS ISNULL " ..
	"IS_IPV4 IS_IPV6 IS_UUID JOIN JSON_ARRAY JSON_ARRAYAGG JSON_ARRAY_APPEND JSON_ARRAY_INSERT JSON_CONTAINS JSON_CONTAINS_PATH JSON_DEPTH " ..
	"JSON_EXTRACT JSON_INSERT JSON_KEYS JSON_LENGTH JSON_MERGE JSON_MERGE_PATCH JSON_MERGE_PRESERVE JSON_OBJECT JSON_OBJECTAGG JSON_OVERLAPS " ..
	"JSON_PRETTY JSON_QUERY JSON_QUOTE JSON_REMOVE JSON_REPLACE JSON_SEARCH JSON_SET JSON_TABLE JSON_TYPE JSON_UNQUOTE JSON_VALID JSON_VALUE KEY LAG " ..
	"LAST_DAY LAST_VALUE LATERAL LCASE LEAD LEAST LEFT LENGTH LIKE LIMIT LN LOCALTIME LOCALTIMESTAMP LOCATE LOG LOG10 LOG2 LOWER LPAD LTRIM " ..
	"MAKEDATE MAKETIME MAKE_SET MATCH MAX MD5 MICROSECOND MID MIN MINUTE MOD MONTH MONTHNAME NAME_CONST NCHAR NOT NOW NTH_VALUE NTILE NULLIF NVL NVL2 " ..
	"OCT OCTET_LENGTH ON OR ORD OVER PARTITION PERCENT_RANK PERIOD_ADD PERIOD_DIFF PI POINT POSITION POW POWER QUARTER QUOTE RADIANS RAND RANDOM_BYTES " ..
	"RANGE RANK REGEXP REGEXP_INSTR REGEXP_LIKE REGEXP_REPLACE REGEXP_SUBSTR REPEAT REPLACE REVERSE RIGHT RLIKE ROUND ROW ROWS ROW_NUMBER RPAD RTRIM " ..
	"SCHEMA SECOND SEC_TO_TIME SELECT SESSION_USER SET SHA SHA1 SHA2 SIGN SIN SLEEP SOME SOUNDEX SPACE SQRT STD STDDEV STDDEV_POP STDDEV_SAMP STRCMP " ..
	"STR_TO_DATE SUBDATE SUBSTR SUBSTRING SUBSTRING_INDEX SUBTIME SUM SYSDATE SYSTEM_USER TABLE TAN THEN TIME TIMEDIFF TIMESTAMP TIMESTAMPADD " ..
	"TIMESTAMPDIFF TIME_FORMAT TIME_TO_SEC TO_BASE64 TO_CHAR TO_DAYS TO_SECONDS TRIM TRUNCATE UCASE UNCOMPRESS UNCOMPRESSED_LENGTH UNHEX UNION " ..
	"UNIX_TIMESTAMP UPDATEXML UPPER USER USING UTC_DATE UTC_TIME UTC_TIMESTAMP UUID UUID_TO_BIN VALUE VALUES VARCHAR VARIANCE VAR_POP VAR_SAMP VERSION " ..
	"WEEK WEEKDAY WEEKOFYEAR WEIGHT_STRING WHEN WHERE XOR YEAR YEARWEEK ")

-- Functions that leave nothing behind, but whose answer is the primary's.
local PRIMARY_ONLY = set("CONNECTION_ID IS_FREE_LOCK IS_USED_LOCK RELEASE_LOCK RELEASE_ALL_LOCKS MASTER_POS_WAIT SOURCE_POS_WAIT MASTER_GTID_WAIT " ..
	"WAIT_FOR_EXECUTED_GTID_SET UUID_SHORT LOAD_FILE FOUND_ROWS ROW_COUNT LAST_INSERT_ID ")

-- Words by which a read is none, or is not the same on every server.
local no_read = "INTO LOCK SHARE UPDATE DELETE INSERT REPLACE PROCEDURE SQL_CALC_FOUND_ROWS INFORMATION_SCHEMA PERFORMANCE_SCHEMA ANALYZE " ..
	"CONNECTION LAST_INSERT_ID FOUND_ROWS ROW_COUNT DIAGNOSTICS "
local NO_READ = set(no_read)

-- Words that note_word has to see in any case.
local TELLING = set(no_read .. "SELECT VALUES VALUE SET LOCAL EXPORT GET_LOCK NEXTVAL LASTVAL SETVAL")

local read_verbs = "SELECT WITH VALUES TABLE DESC DESCRIBE EXPLAIN "
local READ_VERBS = set(read_verbs)
local READ_SHOWS = set("TABLES TABLE COLUMNS FIELDS CREATE INDEX INDEXES KEYS DATABASES SCHEMAS COLLATION CHARACTER CHARSET ")
local READ_VARIABLES = set("SERVER_ID SERVER_UUID HOSTNAME PORT VERSION VERSION_COMMENT ")

-- Statements that leave nothing on the connection but what its status tells.
local PLAIN_VERBS = set(read_verbs .. "INSERT UPDATE DELETE REPLACE CREATE ALTER DROP RENAME TRUNCATE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE SHOW " ..
	"ANALYZE CHECK OPTIMIZE REPAIR CHECKSUM GRANT REVOKE FLUSH KILL HELP DO UNLOCK CACHE PURGE STOP CHANGE LOAD")
local DDL = set("CREATE ALTER DROP RENAME TRUNCATE GRANT REVOKE ANALYZE CHECK OPTIMIZE REPAIR CHECKSUM CACHE ")
local NO_WRITES = set(read_verbs .. "SHOW SET USE BEGIN START ROLLBACK SAVEPOINT RELEASE LOCK UNLOCK HELP KILL FLUSH")

local SAFE_CHARSETS = set("utf8 utf8mb3 utf8mb4 latin1 ascii binary ")

-- Longer statements are not looked at, in bytes.
local LONGEST = 262144

-- has_columns tells whether name( may be a table with its columns at this place
-- of st.
local function has_columns(st)
	return not st.body and (st[1] == "INSERT" or st[1] == "REPLACE")
end

-- note_word has what one word of a statement tells.
local function note_word(st, word, prev, call)
	if prev == "." or prev == "@" then
		if call and prev == "." and not has_columns(st) then st.unknown = true end -- a stored function
		return
	end
	if TELLING[word] then
		if NO_READ[word] and not (call and (word == "INSERT" or word == "REPLACE")) then st.no_read = true end
		if word == "SELECT" or word == "VALUES" or word == "VALUE" or word == "SET" then
			st.body = true
			if word == "SELECT" then st.selects = true end
			if word == "VALUE" and (prev == "NEXT" or prev == "PREVIOUS") then st.pin = "sequence" end
		elseif word == "LAST_INSERT_ID" then
			st.insert_id = true
		elseif word == "FOUND_ROWS" or word == "ROW_COUNT" or word == "DIAGNOSTICS" then
			st.diagnostic = true
		elseif word == "LOCAL" then
			st.is_local = true
		elseif word == "LOCK" or word == "EXPORT" then
			st.locks = true
		elseif word == "GET_LOCK" then
			st.pin = "GET_LOCK"
		elseif word == "NEXTVAL" or word == "LASTVAL" or word == "SETVAL" then
			st.pin = "sequence"
		end
	end
	if not call or FUNCTIONS[word] then return end
	if PRIMARY_ONLY[word] then
		st.no_read = true
	elseif not has_columns(st) then
		st.unknown = true
	end
end

-- note_variable has what a system variable tells.
local function note_variable(st, name)
	name = string.upper(name)
	name = string.match(name, "^GLOBAL%.(.+)") or string.match(name, "^SESSION%.(.+)") or string.match(name, "^LOCAL%.(.+)") or name
	if not READ_VARIABLES[name] then st.no_read = true end
	if name == "WARNING_COUNT" or name == "ERROR_COUNT" then st.diagnostic = true end
	if name == "IDENTITY" or name == "LAST_INSERT_ID" or name == "INSERT_ID" then st.insert_id = true end
end

-- is_call tells whether the next character is a parenthesis.
local function is_call(text, pos)
	while true do
		pos = string.find(text, "%S", pos)
		local two = pos and string.sub(text, pos, pos + 1) or ""
		if two == "/*" then
			local _, last = string.find(text, "*/", pos + 2, true)
			pos = (last or #text) + 1
		elseif two == "--" or string.sub(two, 1, 1) == "#" then
			pos = (string.find(text, "\n", pos, true) or #text) + 1
		else
			return string.sub(two, 1, 1) == "("
		end
	end
end

-- scan returns the statements of a text, each with its first tokens and what its
-- words tell. escapes: a backslash in a string escapes.
local function scan(text, escapes)
	local st = {}
	local list = { st }
	local pos, prev, length = 1, "", #text
	local find, sub, byte, upper = string.find, string.sub, string.byte, string.upper
	while true do
		local _, last, word, paren = find(text, "^%s*([%w_$\128-\255]+)%s*(%(?)", pos)
		local at = not word and find(text, "%S", pos)
		if not word and not at then break end
		local c = at and sub(text, at, at)
		local token
		if word then
			token = upper(word)
			local call = paren ~= ""
			if call then
				last = last - 1 -- the parenthesis is a token of its own
			else
				local behind = byte(text, last + 1)
				if behind == 47 or behind == 45 or behind == 35 then call = is_call(text, last + 1) end -- a comment?
			end
			if call or TELLING[token] or prev == "." then note_word(st, token, prev, call) end
			pos = last + 1
		elseif c == "'" or c == '"' or c == "`" then
			local from = at + 1
			while true do
				local q = find(text, (escapes and c ~= "`") and "[\\" .. c .. "]" or c, from)
				if not q then
					pos = length + 1
					break
				elseif byte(text, q) == 92 then
					from = q + 2
				else
					pos = q + 1
					break
				end
			end
			token = c
			if c ~= "'" and not has_columns(st) and is_call(text, pos) then st.unknown = true end
		elseif c == "#" or c == "-" and (find(text, "^%-%-[%s%c]", at) or find(text, "^%-%-$", at)) then
			pos = (find(text, "\n", at, true) or length) + 1
		elseif c == "/" and sub(text, at + 1, at + 1) == "*" then
			local _, code = find(text, "^/%*M?!%d*", at)
			if code then -- what is inside is executed
				list.code, pos = true, code + 1
			else
				local _, last = find(text, "*/", at + 2, true)
				if find(sub(text, at, last), "route=primary", 1, true) then list.hint = true end
				pos = (last or length) + 1
			end
		elseif c == "*" and list.code and sub(text, at + 1, at + 1) == "/" then
			pos = at + 2
		elseif c == ";" then
			st, prev, pos = {}, "", at + 1
			list[#list + 1] = st
		elseif c == "@" then
			local _, last, name = find(text, "^@@`?([%w_.$`]+)", at)
			if last then
				note_variable(st, (string.gsub(name, "`", "")))
				token, pos = "@@", last + 1
			else
				if sub(text, at + 1, at + 1) == "@" then st.no_read = true end
				st.pin = "user variable"
				token, pos = "@", at + 1
			end
		else
			token, pos = c, at + 1
		end
		if token then
			prev = token
			if #st < 8 and not (token == "(" and #st == 0) then st[#st + 1] = token end
		end
	end
	if #list > 1 and #st == 0 then list[#list] = nil end -- a ; at the end
	return list
end

-- is_read tells whether any server may answer st.
local function is_read(st)
	local verb = st[1] or ""
	if st.no_read or st.pin or st.unknown or st.insert_id or st.diagnostic then return false end
	if verb == "SHOW" then
		local what = st[2]
		if what == "FULL" or what == "EXTENDED" then what = st[3] end
		return READ_SHOWS[what or ""] == true
	end
	return READ_VERBS[verb] == true
end

-- pin_of returns why a session that runs st stays with its connection, or nil.
local function pin_of(st)
	local verb, second = st[1] or "", st[2] or ""
	if st.pin then return st.pin end
	if verb == "" or verb == "USE" then return nil end
	if verb == "SET" then
		if second == "AUTOCOMMIT" and #st == 4 then return nil end -- the status tells
		if second == "NAMES" and (#st == 3 or #st == 5 and st[4] == "COLLATE") then return nil end
		return "SET"
	end
	if verb == "CREATE" and (second == "TEMPORARY" or st[4] == "TEMPORARY") then return "temporary table" end
	if verb == "DROP" and (second == "DATABASE" or second == "SCHEMA") then return "DROP DATABASE" end
	if verb == "LOCK" or verb == "FLUSH" and st.locks then return "LOCK TABLES" end
	if verb == "BEGIN" and second == "NOT" then return "compound statement" end
	if not PLAIN_VERBS[verb] then return verb end
	if st.unknown and (st.selects or not DDL[verb]) then return "unknown function" end
	return nil
end

-- verdict_on looks at a text. read: any server may answer it; pins: why the
-- session stays where it ran; the rest: what else there is to know.
local function verdict_on(text)
	local out = { read = true, pins = {} }
	local function add(list)
		if #list ~= 1 or list.code or list.hint then out.read = false end
		for i = 1, #list do
			local st = list[i]
			local verb = st[1] or ""
			if not is_read(st) then out.read = false end
			local pin = pin_of(st)
			if pin then out.pins[pin] = true end
			if #list > 1 and (verb == "USE" or verb == "SET" or verb == "LOAD") then out.pins["multi-statement"] = true end
			if verb == "LOAD" and st.is_local then out.load = true end
			if verb == "UNLOCK" then out.unlock = true end
			if verb == "USE" then out.use = #list == 1 end
			if verb == "SET" and st[2] == "NAMES" then out.names = true end
			if st.diagnostic or verb == "SHOW" and (st[2] == "WARNINGS" or st[2] == "ERRORS" or st[2] == "COUNT") then out.diagnostic = true end
			if st.insert_id or verb == "CALL" or verb == "LOAD" or st.unknown then out.insert_id = true end
			if st.unknown or not NO_WRITES[verb] then out.writes = true end
		end
	end
	add(scan(text, true))
	if string.find(text, "\\", 1, true) then add(scan(text, false)) end -- NO_BACKSLASH_ESCAPES, or half a character
	return out
end

-- Applications send the same statements with other values over and over again. The
-- verdicts on the last ones are kept for all sessions. They are forgotten with a
-- change of the words above; who changes the functions raises the number.
local BASIS = { 1, FUNCTIONS, PRIMARY_ONLY, NO_READ, TELLING, READ_VERBS, READ_SHOWS, READ_VARIABLES, PLAIN_VERBS, DDL, NO_WRITES }
local MOST_VERDICTS, LONGEST_FORM = 1000, 2000 -- verdicts, bytes of a statement

local verdicts = shared.verdicts
for i = 1, #BASIS do
	if not verdicts or verdicts.basis[i] ~= BASIS[i] then verdicts = { basis = BASIS, count = 0, of = {} } end
end
shared.verdicts = verdicts

-- form_of is a text with 0 for its numbers and '' for its strings, of which no
-- verdict depends on more. Strings stay where a quote may be something else.
local function form_of(text)
	local form = string.gsub(text, "%f[%w_$\128-\255]%d+%f[^%w_$\128-\255]", "0")
	if string.find(text, "'", 1, true) and not string.find(text, "[\"`\\#]") and
	   not string.find(text, "--", 1, true) and not string.find(text, "/*", 1, true) then
		form = string.gsub(form, "'[^']*'", "''")
	end
	return form
end

-- classify is the verdict on a text. Nobody may write to it.
local function classify(text)
	if #text > LONGEST_FORM then
		if #text <= LONGEST then return verdict_on(text) end
		return { pins = { ["long statement"] = true }, writes = true, insert_id = true, load = true }
	end
	local form = form_of(text)
	local verdict = verdicts.of[form]
	if not verdict then
		verdict = verdict_on(text)
		if verdicts.count >= MOST_VERDICTS then verdicts.of, verdicts.count = {}, 0 end
		verdicts.of[form], verdicts.count = verdict, verdicts.count + 1
	end
	return verdict
end

----------------------------------------------------------------------------
-- Connections

local function backend(n) return proxy.global.backends[n] end

local function idle(n, user) return backend(n).pool.users[user].cur_idle_connections end

local function first_primary()
	for i = 1, #proxy.global.backends do
		if backend(i).type == RW and backend(i).state ~= DOWN then return i end
	end
end

-- surplus is how many idle connections with the primary nobody counts on.
local function surplus(n, user)
	return idle(n, user) - (shared.away[user] or 0) - (shared.claims[user] or 0)
end

local function connection_name()
	local s = proxy.connection.server
	return s.dst.name .. " " .. s.thread_id
end

-- attach takes an idle connection with backend n in place of the current one and
-- tells whether there was one.
local function attach(n)
	proxy.connection.backend_ndx = n
	local s = proxy.connection.server
	return s ~= nil and s.dst.name == backend(n).dst.name
end

local function client_address()
	local a = proxy.connection.client.src.address
	return (a and a ~= "") and a or "unix"
end

local function add(t, key, n)
	local v = (t[key] or 0) + n
	t[key] = v ~= 0 and v or nil
end

-- is_promised tells whether the proxy has yet to open the connection: its thread is
-- not known before that.
local function is_promised()
	local s = proxy.connection.server
	return s ~= nil and s.thread_id == 0
end

-- unreserve ends what leave has begun.
local function unreserve(name)
	if not home_is_open then return end
	shared.reserved[name] = nil
	add(shared.away, proxy.connection.client.username, -1)
end

-- leave gives the connection with the primary to the pool, reserved, and takes
-- one of replica n.
local function leave(n)
	home, home_is_open = connection_name(), not is_promised()
	if home_is_open then
		shared.reserved[home] = true
		add(shared.away, proxy.connection.client.username, 1)
	end
	if attach(n) then return true end
	unreserve(home)
	home = nil
	return false
end

-- come_back takes a connection with the primary again. It need not be the same:
-- if it is somebody else's, that session will take what was this one's.
local function come_back()
	if not home then return true end
	if not attach(primary) then return false end
	local now = connection_name()
	if shared.reserved[now] then
		if not home_is_open then shared.reserved[now] = nil end -- its session has another one opened
		unreserve(now)
	else
		unreserve(home)
	end
	home, synced = nil, false
	return true
end

-- adopt takes an idle connection with the primary that nobody counts on.
local function adopt()
	local user = proxy.connection.client.username
	if surplus(primary, user) < 1 then return false end
	for _ = 1, idle(primary, user) do
		if not attach(primary) then return false end
		if not shared.reserved[connection_name()] then return true end
	end
	return false
end

-- choose_replica returns the replica with an idle connection for this client
-- that serves the fewest, and takes turns among equals; nil if there is none.
local function choose_replica()
	local all, user = proxy.global.backends, proxy.connection.client.username
	local count = #all
	local best, fewest
	shared.turn = shared.turn + 1
	for k = 1, count do
		local i = (shared.turn + k) % count + 1
		local b = all[i]
		if b.type == RO and b.state ~= DOWN and b.pool.users[user].cur_idle_connections > 0 and (not best or b.connected_clients < fewest) then
			best, fewest = i, b.connected_clients
		end
	end
	return best
end

local function answer(code, state, text)
	proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errcode = code, sqlstate = state, errmsg = text }
	return proxy.PROXY_SEND_RESULT
end

----------------------------------------------------------------------------
-- Login

-- replica_to_warm returns a replica that users have too few idle connections
-- with. If the client cannot be asked once more, each of them must have one with
-- the primary to spare.
local function replica_to_warm(users, asks)
	for user in pairs(users) do
		if not asks and surplus(primary, user) < 1 then return nil end
	end
	local best, fewest
	for i = 1, #proxy.global.backends do
		if backend(i).type == RO and backend(i).state ~= DOWN then
			for user in pairs(users) do
				local n = idle(i, user)
				if n < settings.min_idle_connections and (not best or n < fewest) then
					best, fewest = i, n
				end
			end
		end
	end
	return best
end

local function unclaim()
	for user in pairs(claimed or {}) do add(shared.claims, user, -1) end
	claimed = nil
end

function connect_server()
	unclaim() -- the attempt before this one has failed
	born = "primary"
	primary = first_primary()
	if not primary then return end
	local address = client_address()
	local users = shared.seen[address]
	if settings.warm_up and users and next(users) then
		local n = replica_to_warm(users, shared.asks[address])
		if n then
			claimed = {}
			for user in pairs(users) do
				claimed[user] = true
				add(shared.claims, user, 1)
			end
			born = "replica"
			proxy.connection.backend_ndx = n
			return
		end
	end
	backend(primary).pool.min_idle_connections = 1 -- each user's last one stays, for its next login to a replica
	if idle(primary, "") > 0 and attach(primary) then
		local user = proxy.connection.server.username or ""
		if not shared.reserved[connection_name()] and surplus(primary, user) >= 1 then
			return proxy.PROXY_IGNORE_RESULT -- it becomes this client's
		end
	end
	proxy.connection.backend_ndx = primary
end

function read_auth()
	if born ~= "replica" then return end
	local user = proxy.connection.client.username
	if claimed and claimed[user] then
		for other in pairs(claimed) do
			if other ~= user then add(shared.claims, other, -1) end
		end
		claimed = { [user] = true }
		return
	end
	unclaim()
	if surplus(primary, user) >= 1 then
		claimed = { [user] = true }
		add(shared.claims, user, 1)
	end
end

-- ask has the proxy open a connection with the primary: it does so itself if it
-- can log in as the client, else it asks the client once more.
local function ask()
	born, refused = "asked", "no connection with the primary is idle, please connect again"
	proxy.connection.backend_ndx = 0
	proxy.connection.backend_ndx = primary
end

-- note_user notes that the user has come from the client's address.
local function note_user(address)
	if not shared.seen[address] then
		shared.addresses = shared.addresses + 1
		if shared.addresses > 1000 then
			shared.seen, shared.asks, shared.addresses = {}, {}, 1
		end
		shared.seen[address] = {}
	end
	shared.seen[address][proxy.connection.client.username] = true
end

-- wants_password tells whether a packet asks the client for its password: it is
-- caching_sha2_password's.
local function wants_password(packet) return packet == "\1\4" end

function read_auth_result(auth)
	if auth.packet:byte() == 254 then switched = true end
	if wants_password(auth.packet) then
		local user = proxy.connection.client.username
		local mine = claimed and claimed[user] and 1 or 0
		if born == "replica" and not switched and shared.asks[client_address()] ~= false and surplus(primary, user) + mine < 1 then
			unclaim()
			ask() -- while that is possible
			return
		end
		gave_password = true
	end
	if auth.packet:byte() ~= 0 then return end
	-- OK, affected rows, insert id (both 0 here), status: bit 1 is autocommit
	auto_commit = (auth.packet:byte(4) or 2) % 4 >= 2
	local address = client_address()
	if born == "replica" then
		unclaim()
		proxy.connection.backend_ndx = 0
		if not adopt() then
			-- If the client is asked, this function is called again with the OK to
			-- that. If the proxy opens one itself, read_query finds it.
			ask()
			return
		end
		synced = false
		if shared.asks[address] == nil and not gave_password and not switched then
			-- Try whether the client can be asked; else what is attached stays.
			born, ready, shared.asks[address] = "asked", true, false
			return
		end
	elseif born == "asked" then
		synced, shared.asks[address] = true, true
	end
	refused, ready = nil, true
	note_user(address)
	if born == "replica" then return proxy.PROXY_IGNORE_RESULT end -- keep what is attached
end

----------------------------------------------------------------------------
-- Commands

local function pinned()
	return next(pins) ~= nil or open_statements > 0 or in_trans or not auto_commit
end

-- queue_next queues the next command. One at a time: so the last one's result is
-- not held back.
local function queue_next()
	local step = table.remove(todo, 1)
	proxy.queries:append(step[1], step[2], step[3] and { resultset_is_needed = true } or nil)
end

local function step(id, packet) todo[#todo + 1] = { id, packet, id ~= FINAL and id ~= READ and id ~= RESETTING } end

-- step_to_state has the connection take on the session's database and names.
local function step_to_state()
	local db = proxy.connection.client.default_db
	if db ~= "" and db ~= proxy.connection.server.default_db then
		step(CHECKED_DB, string.char(INIT_DB) .. db)
	end
	if names then step(STEP, string.char(QUERY) .. names) end
end

-- plan_primary plans for packet to run on the primary. repeated is a read to run
-- before it for what it leaves behind.
local function plan_primary(id, packet, repeated)
	todo = {}
	if not synced then
		step_to_state()
		if insert_id then step(STEP, string.char(QUERY) .. "DO LAST_INSERT_ID(" .. insert_id .. ")") end
		synced = true
	end
	if repeated then step(STEP, repeated) end
	step(id, packet)
	shared.counts.primary = shared.counts.primary + 1
end

-- plan_replica goes to the replica of the plan, or stays if it has no idle
-- connection any more.
local function plan_replica()
	local packet, n = plan.packet, plan.replica
	if backend(n).state ~= DOWN and idle(n, proxy.connection.client.username) > 0 and leave(n) then
		todo = {}
		step_to_state()
		step(READ, packet)
		shared.counts.replica = shared.counts.replica + 1
		return
	end
	plan_primary(FINAL, packet)
end

-- lost answers a command of a session whose connection with the primary is gone,
-- as it is when a server goes away.
local function lost()
	proxy.connection.connection_close = true
	return answer(1053, "08S01", refused or "the connection with the primary is lost")
end

-- unhooked sends packet as it is if nothing has to run before it. It is for
-- commands whose response is none, or not one result.
local function unhooked(packet)
	if synced then return end
	plan_primary(FINAL, packet)
	queue_next()
	return proxy.PROXY_SEND_QUERY
end

local function on_primary(id, packet, repeated)
	plan_primary(id, packet, repeated)
	queue_next()
	return proxy.PROXY_SEND_QUERY
end

local function statement_id(packet)
	local a, b, c, d = packet:byte(2, 5)
	return d and a + b * 256 + c * 65536 + d * 16777216 or -1
end

local function query(packet)
	local text = packet:sub(2)
	local what = classify(text)
	local repeated
	if what.diagnostic then repeated = last_read end
	if what.read and not pinned() and proxy.connection.client.default_db ~= "" and
	   os.time() - last_write >= settings.primary_after_write then
		local n = choose_replica()
		if n then
			plan = { packet = packet, replica = n }
			if ask_insert_id then
				todo = {}
				proxy.queries:append(ASK_INSERT_ID, string.char(QUERY) .. "SELECT LAST_INSERT_ID()", { resultset_is_needed = true })
			else
				plan_replica()
				queue_next()
			end
			return proxy.PROXY_SEND_QUERY
		end
	end
	last_read, new_names = nil, nil
	for pin in pairs(what.pins) do pins[pin] = pins[pin] or true end
	if what.writes then last_write = os.time() end
	if what.insert_id then ask_insert_id = true end
	if what.unlock then pins["LOCK TABLES"] = nil end
	if what.names then
		local charset = string.match(string.lower(text), "names%s+['\"]?([%w_]+)")
		if charset and SAFE_CHARSETS[charset] then
			new_names = text
		else
			pins["SET"] = true
		end
	end
	if what.use then -- as the command, so that the proxy knows the database
		local db = string.match(text, "^%s*[uU][sS][eE]%s+([%w_$]+)%s*;?%s*$")
		if not db then
			db = string.match(text, "^%s*[uU][sS][eE]%s*`([^`]+)`%s*;?%s*$")
		end
		if db then return on_primary(FINAL, string.char(INIT_DB) .. db) end
		pins["USE"] = true
	end
	if what.load then return unhooked(packet) end -- its response comes in two parts
	return on_primary(FINAL, packet, repeated)
end

function read_query(packet)
	local command = packet:byte()
	if refused and command ~= QUIT then
		if is_promised() then
			note_user(client_address())
		else -- the client could not be asked
			if not gave_password and not switched then shared.asks[client_address()] = false end
			if not adopt() then return lost() end
		end
		refused, ready, synced = nil, true, false
	end
	if command == QUIT then
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		busy = false
		return proxy.PROXY_SEND_RESULT -- the server need not know, its connection is kept
	end
	busy = true
	if not ready or not come_back() then return lost() end
	if command == QUERY then return query(packet) end

	local before = last_read
	last_read, new_names = nil, nil
	if command == PREPARE then
		local what = classify(packet:sub(2))
		for pin in pairs(what.pins) do pins[pin] = pins[pin] or true end
		if what.insert_id then ask_insert_id = true end
		plan = { writes = what.writes }
		return on_primary(PREPARED, packet, what.diagnostic and before or nil)
	elseif command == EXECUTE then
		ask_insert_id = true
		if statements[statement_id(packet)] ~= false then last_write = os.time() end
		return on_primary(FINAL, packet)
	elseif command == CLOSE then
		local id = statement_id(packet)
		if statements[id] ~= nil then
			statements[id] = nil
			open_statements = open_statements - 1
		end
		return
	elseif command == LONG_DATA then
		return
	elseif command == RESET then
		return on_primary(RESETTING, packet)
	elseif command == CHANGE_USER then
		-- whether it works is not seen from here, and it may be a dialogue
		pins["COM_CHANGE_USER"] = "session"
		names, insert_id, synced = nil, nil, true
		return
	elseif command == SET_OPTION or command == BINLOG_DUMP or command == REGISTER_SLAVE or command > 28 then
		pins["command " .. command] = "session"
		return unhooked(packet)
	elseif command == DROP_DB then
		pins["DROP DATABASE"] = true
	end
	return on_primary(FINAL, packet)
end

-- note_status takes what a result says of the connection.
local function note_status(inj)
	local command = inj.query:byte()
	if command ~= QUERY and command ~= EXECUTE then return end
	local res = inj.resultset
	if res.query_status ~= proxy.MYSQLD_PACKET_OK then return end
	in_trans, auto_commit = res.flags.in_trans, res.flags.auto_commit
	names, new_names = new_names or names, nil
	if (res.insert_id or 0) > 0 then ask_insert_id = true end
end

local function failed(inj)
	return inj.resultset.raw:byte() == 255
end

function read_query_result(inj)
	local id = inj.id
	if id == FINAL then
		note_status(inj)
	elseif id == READ then
		last_read = inj.query
		come_back()
	elseif id == PREPARED then
		if not failed(inj) then
			statements[statement_id(inj.resultset.raw)] = plan.writes == true
			open_statements = open_statements + 1
		end
	elseif id == RESETTING then
		if inj.resultset.query_status ~= proxy.MYSQLD_PACKET_ERR then
			for pin, until_when in pairs(pins) do
				if until_when ~= "session" then pins[pin] = nil end
			end
			statements, open_statements, in_trans = {}, 0, false
			names, insert_id, ask_insert_id = nil, nil, false
		end
	elseif id == CHECKED_DB and failed(inj) then
		if not home then
			todo = {}
			synced = false
			return -- the client sees why its statement cannot run
		end
		if not come_back() then return end
		plan_primary(FINAL, plan.packet) -- the replica does not have the database yet
		queue_next()
		return proxy.PROXY_IGNORE_RESULT
	elseif id == ASK_INSERT_ID then
		local rows = inj.resultset.rows
		local row = rows and rows()
		insert_id = row and row[1] ~= "0" and row[1] or nil
		ask_insert_id = row == nil
		plan_replica()
		queue_next()
		return proxy.PROXY_IGNORE_RESULT
	else
		queue_next()
		return proxy.PROXY_IGNORE_RESULT
	end
	busy = false
end

function disconnect_client()
	unclaim()
	if home then return unreserve(home) end
	local server = proxy.connection.server
	if not ready or busy or pinned() or not server then return end -- it is closed
	if surplus(primary, proxy.connection.client.username) < settings.max_idle_connections then
		proxy.connection.backend_ndx = 0
	end
end
