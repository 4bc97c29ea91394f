-- What a session may decide on commands and results. The statement DECIDE name
-- runs a case of the table; where a case has the proxy forward it, the server
-- answers with a syntax error. NUMBERS statement gives what a result says of
-- itself.

local case -- that runs
proxy.global.results = proxy.global.results or 0 -- calls of read_query_result
local swallow = false -- answer what expects no answer

local function query(text) return string.char(proxy.COM_QUERY) .. text end

local function queue(...)
	for i = 1, select("#", ...) do
		proxy.queries:append(i, query((select(i, ...))), { resultset_is_needed = true })
	end
	return proxy.PROXY_SEND_QUERY
end

local function row(...)
	local fields = {}
	for i = 1, select("#", ...) do fields[i] = { name = "c" .. i, type = proxy.MYSQL_TYPE_STRING } end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = { { ... } } } }
	return proxy.PROXY_SEND_RESULT
end

local function text(b)
	if b == nil then return "-" end
	return tostring(b)
end

local cases = {
	["no decision, a queue"] = { ask = function() queue("SELECT 1") end },
	["a queue to send, empty"] = { ask = function() return proxy.PROXY_SEND_QUERY end },
	["an answer, a queue"] = { ask = function()
		queue("SELECT 'from the queue'")
		return row("answer")
	end },
	["an answer as a numeral"] = { ask = function()
		row("answer")
		return "2"
	end },
	["an error behind a queue"] = { ask = function()
		queue("SELECT 'from the queue'")
		error("on purpose")
	end, result = function() return row("not to be asked") end },
	["a number that is no decision"] = { ask = function() return 7 end },
	["3, which has no name"] = { ask = function() return 3 end },
	["to ignore what is not there yet"] = { ask = function() return proxy.PROXY_IGNORE_RESULT end },
	["true"] = { ask = function()
		row("not to be sent")
		return true
	end },
	["a response without a type"] = { ask = function()
		proxy.response = {}
		return proxy.PROXY_SEND_RESULT
	end },

	["a result that is left"] = { ask = function() return queue("SELECT 'left'") end, result = function() end },
	["a result with no hook to see it"] = { ask = function()
		read_query_result = nil
		return queue("SELECT 'unseen'")
	end },
	["a result, and an error"] = { ask = function() return queue("SELECT 'left'") end, result = function() error("on purpose") end },
	["a result for a response that cannot be sent"] = { ask = function() return queue("SELECT 1") end, result = function()
		proxy.response = { type = proxy.MYSQLD_PACKET_RAW }
		return proxy.PROXY_SEND_RESULT
	end },
	["a streamed result to replace"] = { ask = function()
		proxy.queries:append(1, query("SELECT 'streamed'"))
		return proxy.PROXY_SEND_QUERY
	end, result = function() return row("too late") end },
	["a streamed result to ignore"] = { ask = function()
		proxy.queries:append(1, query("SELECT 'streamed'"), { resultset_is_needed = false })
		return proxy.PROXY_SEND_QUERY
	end, result = function() return proxy.PROXY_IGNORE_RESULT end },
	["a streamed result to look at"] = { ask = function()
		proxy.queries:append(1, query("SELECT 'streamed'"))
		return proxy.PROXY_SEND_QUERY
	end, result = function(inj) return inj.resultset.rows end },
	["two results for one command"] = { ask = function() return queue("SELECT 'first'", "SELECT 'second'") end,
		result = function(inj)
			if inj.id == 2 then return row("third") end
		end },
	["two streamed results"] = { ask = function()
		proxy.queries:append(1, query("SELECT 'first'"))
		proxy.queries:append(2, query("SELECT 'second'"))
		return proxy.PROXY_SEND_QUERY
	end, result = function(inj)
		if inj.id == 1 then return proxy.PROXY_IGNORE_RESULT end
	end },
	["a result in place of two"] = { ask = function() return queue("SELECT 1", "SELECT 2") end, result = function(inj)
		if inj.id == 1 then return proxy.PROXY_IGNORE_RESULT end
		return row("instead")
	end },
	["more queries while it runs"] = { ask = function() return queue("SELECT 'one'", "SELECT 'last'") end, result = function(inj)
		if inj.id == 1 then
			proxy.queries:append(4, query("SELECT 'behind'"), { resultset_is_needed = true })
			proxy.queries:prepend(3, query("SELECT 'before'"), { resultset_is_needed = true })
		end
		case.order = (case.order or "") .. inj.id
		if #proxy.queries > 0 then return proxy.PROXY_IGNORE_RESULT end
		return row(case.order)
	end },
	["the rest of a queue is cut"] = { ask = function() return queue("SELECT 'kept'", "DO SLEEP(60)") end, result = function()
		proxy.queries:reset()
	end },
	["all is ignored"] = { ask = function() return queue("SELECT 1") end, result = function() return proxy.PROXY_IGNORE_RESULT end },
	["other commands in a queue"] = { ask = function()
		local needed = { resultset_is_needed = true }
		proxy.queries:append(1, string.char(proxy.COM_PING), needed)
		proxy.queries:append(2, string.char(proxy.COM_INIT_DB) .. "nonexistent", needed)
		proxy.queries:append(3, string.char(proxy.COM_STATISTICS), needed)
		proxy.queries:append(4, query("SELECT 1"), needed)
		case.seen = ""
		return proxy.PROXY_SEND_QUERY
	end, result = function(inj)
		case.seen = case.seen .. text(inj.resultset.query_status) .. " "
		if inj.id < 4 then return proxy.PROXY_IGNORE_RESULT end
		return row(case.seen)
	end },
	["the connection is closed behind the result"] = { ask = function() return queue("SELECT 'last words'") end, result = function()
		proxy.connection.connection_close = true
	end },
	["the connection is given back behind the result"] = { ask = function() return queue("SELECT 'given back'") end, result = function()
		proxy.connection.backend_ndx = 0
	end },
	["how often results were seen"] = { ask = function() return row(proxy.global.results) end },
	["answer the mute"] = { ask = function()
		swallow = true
		return row("as you like")
	end },
	["a query of 20 MB"] = { ask = function()
		proxy.queries:append(1, query("SELECT LENGTH('" .. ("x"):rep(20000000) .. "')"))
		return proxy.PROXY_SEND_QUERY
	end },
}

local commands = proxy.global.commands or {}
proxy.global.commands = commands

local function on_result(inj)
	proxy.global.results = proxy.global.results + 1
	if case and case.result then return case.result(inj) end
	if not case then
		local res = inj.resultset
		local f = res.flags
		local count = "-"
		if inj.type == 1 then count = #res.fields end
		return row(text(res.query_status), count, res.row_count, res.bytes, text(res.affected_rows), text(res.insert_id), res.warning_count,
			(f.in_trans and "t" or "") .. (f.auto_commit and "a" or "") .. (f.no_index_used and "n" or "") .. (f.no_good_index_used and "g" or ""),
			res.raw and #res.raw > 0 and res.raw:byte() or "-")
	end
end

function read_query(packet)
	commands[packet:byte()] = (commands[packet:byte()] or 0) + #packet
	read_query_result = on_result
	case = nil
	local name = packet:match("^\3DECIDE (.*)$")
	if name then
		case = assert(cases[name], "no such case")
		return case.ask()
	end
	local numbers = packet:match("^\3NUMBERS (.*)$")
	if numbers then return queue(numbers) end
	local command = packet:match("^\3COMMAND (%d+)$")
	if command then return row(commands[tonumber(command)]) end
	if packet:match("^\3LOAD DATA LOCAL") then
		case = { result = function(inj)
			case.status = text(inj.resultset.query_status)
		end }
		return queue(packet:sub(2))
	end
	if swallow and (packet:byte() == proxy.COM_STMT_CLOSE or packet:byte() == proxy.COM_STMT_SEND_LONG_DATA) then
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT
	end
end
