--[[
ro-balance.lua - each client gets the replica that lags least

What it does
  A new client is connected with the replica that follows its primary closest;
  one whose state is not known yet comes first. Replicas whose replication is
  broken, or which lag more than max_lag seconds, are passed over; if none is
  left, the client goes to the primary. A client stays where it is.
  The state of a replica is asked for on its clients' own connections: before a
  plain SELECT, at most every check_interval seconds and replica, unseen. It is
  SHOW REPLICA STATUS from MySQL 8.0.22 on, SHOW SLAVE STATUS elsewhere, read by
  the names of its columns.
  SELECT * FROM balance.replicas shows what is known.

How to start it: for clients that only read
  mysql-proxy --proxy-address=:4041 \
    --proxy-backend-addresses=10.0.0.1:3306 \
    --proxy-read-only-backend-addresses=10.0.0.2:3306 \
    --proxy-read-only-backend-addresses=10.0.0.3:3306 \
    --proxy-lua-script=scripts/ro-balance.lua

What to set: the table "settings" below.

Limits
  - The clients' user needs REPLICATION CLIENT (MariaDB: SLAVE MONITOR). Without
    it the state stays unknown, and clients are spread by their number.
  - A replica that nobody reads from is asked when somebody comes.
  - Writes are not kept away from replicas: they should be read_only.
]]

local settings = {
	check_interval = 2, -- seconds
	max_lag = 10,       -- seconds
}

-- address => { state = "running" or "stopped" or "unknown", lag = seconds, checked = time }
local replicas = proxy.global.replicas or {}
proxy.global.replicas = replicas

local CHECK, COMMAND = 1, 2
local waiting -- the client's command while the check is under way

local function usable(b)
	if b.type ~= proxy.BACKEND_TYPE_RO or b.state == proxy.BACKEND_STATE_DOWN then return false end
	local r = replicas[b.dst.name]
	if not r or r.state == "unknown" then return true end
	if r.state == "stopped" or r.lag > settings.max_lag then
		-- somebody has to find out when it is well again
		return os.time() - r.checked > 5 * settings.check_interval
	end
	return true
end

function connect_server()
	local best, least, fewest, fallback
	for i = 1, #proxy.global.backends do
		local b = proxy.global.backends[i]
		if usable(b) then
			local r = replicas[b.dst.name]
			local lag = r and r.state == "running" and r.lag or -1
			if not best or lag < least or lag == least and b.connected_clients < fewest then
				best, least, fewest = i, lag, b.connected_clients
			end
		elseif b.type == proxy.BACKEND_TYPE_RW and b.state ~= proxy.BACKEND_STATE_DOWN then
			fallback = fallback or i
		end
	end
	if best or fallback then proxy.connection.backend_ndx = best or fallback end
end

local function show_replicas()
	local rows = {}
	for address, r in pairs(replicas) do
		rows[#rows + 1] = { address, r.state, r.lag, os.time() - r.checked }
	end
	table.sort(rows, function(a, b) return a[1] < b[1] end)
	proxy.response = {
		type = proxy.MYSQLD_PACKET_OK,
		resultset = {
			fields = {
				{ name = "address", type = proxy.MYSQL_TYPE_STRING },
				{ name = "state", type = proxy.MYSQL_TYPE_STRING },
				{ name = "seconds_behind", type = proxy.MYSQL_TYPE_LONG },
				{ name = "seconds_since_check", type = proxy.MYSQL_TYPE_LONG },
			},
			rows = rows,
		},
	}
	return proxy.PROXY_SEND_RESULT
end

-- due tells whether the session's replica is to be asked now.
local function due()
	local b = proxy.global.backends[proxy.connection.backend_ndx]
	if not b or b.type ~= proxy.BACKEND_TYPE_RO then return false end
	local r = replicas[b.dst.name]
	return not r or os.time() - r.checked >= settings.check_interval
end

-- undisturbed tells whether a statement gives the same with another one before
-- it: a SELECT that does not ask about the statement before.
local function undisturbed(text)
	local q = string.upper(text)
	return string.find(q, "^%s*SELECT[%s'\"`%d]") and not string.find(q, "ROW_COUNT", 1, true) and
		not string.find(q, "FOUND_ROWS", 1, true) and not string.find(q, "@@", 1, true)
end

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local text = packet:sub(2)
	if string.lower(text) == "select * from balance.replicas" then return show_replicas() end
	if not undisturbed(text) or not due() then return end

	-- Until the answer is there the others need not ask.
	local address = proxy.connection.server.dst.name
	local r = replicas[address] or { state = "unknown", lag = 0 }
	r.checked, replicas[address] = os.time(), r

	-- MariaDB before 11 gives its version as 5.5.5-...
	local version = proxy.connection.server.mysqld_version
	local show = (version >= 80022) and "SHOW REPLICA STATUS" or "SHOW SLAVE STATUS"
	proxy.queries:append(CHECK, string.char(proxy.COM_QUERY) .. show, { resultset_is_needed = true })
	waiting = packet
	return proxy.PROXY_SEND_QUERY
end

-- note takes the first row of the answer by the columns' names.
local function note(res, r)
	if res.query_status ~= proxy.MYSQLD_PACKET_OK then
		r.state, r.lag = "unknown", 0 -- not allowed to know
		return
	end
	local row = res.rows and res.rows()
	if not row then
		r.state, r.lag = "unknown", 0 -- not a replica
		return
	end
	local value = {}
	for i = 1, #res.fields do
		local name = string.lower(res.fields[i].name)
		name = string.gsub(string.gsub(name, "slave", "replica"), "master", "source")
		value[name] = row[i]
	end
	local lag = tonumber(value.seconds_behind_source)
	if value.replica_io_running == "Yes" and value.replica_sql_running == "Yes" and lag then
		r.state, r.lag = "running", lag
	else
		r.state, r.lag = "stopped", 0
	end
end

function read_query_result(inj)
	if inj.id == CHECK then
		note(inj.resultset, replicas[proxy.connection.server.dst.name])
		-- only now, so that its result need not be held back
		proxy.queries:append(COMMAND, waiting)
		waiting = nil
		return proxy.PROXY_IGNORE_RESULT
	end
end
