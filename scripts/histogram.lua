--[[
histogram.lua - which statements run how often and how long, on which tables

What it does
  Counts statements by their form (literals replaced by ?) and the use of tables.
  Ask the proxy itself for the figures:

    SELECT * FROM histogram.queries   query, count, errors, total_ms, max_ms, rows
    SELECT * FROM histogram.tables    table, reads, writes
    DELETE FROM histogram.queries     forget, the same for histogram.tables

  The most frequent ones come first. These statements never reach a server.

How to start it
  mysql-proxy --proxy-address=:4040 \
    --proxy-backend-addresses=10.0.0.1:3306 \
    --proxy-lua-script=scripts/histogram.lua

What to set: the table "settings" below.

Limits
  - Only text statements are counted. Statements longer than max_length are not.
  - When max_forms different forms are known, further ones count as "(other)".
  - Tables are found by the heuristics of proxy.parser: those of sub-selects are
    not, those behind REPLACE and TRUNCATE neither.
]]

local settings = {
	max_forms = 1000,
	max_length = 65536, -- bytes
}

local tokenizer = require("proxy.tokenizer")
local parser = require("proxy.parser")

local histogram = proxy.global.histogram or { queries = {}, forms = 0, tables = {} }
proxy.global.histogram = histogram

local function send(columns, types, list)
	local fields, rows = {}, {}
	for i, name in ipairs(columns) do fields[i] = { name = name, type = types[i] } end
	table.sort(list, function(a, b)
		if a.order ~= b.order then return a.order > b.order end
		return a[1] < b[1]
	end)
	for i, row in ipairs(list) do rows[i] = row end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
	return proxy.PROXY_SEND_RESULT
end

local STRING, LONG, DOUBLE = proxy.MYSQL_TYPE_STRING, proxy.MYSQL_TYPE_LONGLONG, proxy.MYSQL_TYPE_DOUBLE

local own = {
	["select * from histogram.queries"] = function()
		local list = {}
		for form, q in pairs(histogram.queries) do
			list[#list + 1] = {
				form, q.count, q.errors, string.format("%.3f", q.total / 1000), string.format("%.3f", q.max / 1000), q.rows,
				order = q.count,
			}
		end
		return send({ "query", "count", "errors", "total_ms", "max_ms", "rows" }, { STRING, LONG, LONG, DOUBLE, DOUBLE, LONG }, list)
	end,
	["select * from histogram.tables"] = function()
		local list = {}
		for name, t in pairs(histogram.tables) do
			list[#list + 1] = { name, t.read, t.write, order = t.read + t.write }
		end
		return send({ "table", "reads", "writes" }, { STRING, LONG, LONG }, list)
	end,
	["delete from histogram.queries"] = function()
		local n = histogram.forms
		histogram.queries, histogram.forms = {}, 0
		proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = n }
		return proxy.PROXY_SEND_RESULT
	end,
	["delete from histogram.tables"] = function()
		histogram.tables = {}
		proxy.response = { type = proxy.MYSQLD_PACKET_OK }
		return proxy.PROXY_SEND_RESULT
	end,
}

local function asked(text)
	text = string.lower(text)
	text = string.gsub(text, "%s+", " ")
	text = string.gsub(text, "^ ", "")
	return own[string.match(text, "^(.-) ?;? ?$")]
end

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local text = packet:sub(2)
	if #text > settings.max_length then return end
	local answer = asked(text)
	if answer then return answer() end
	proxy.queries:append(1, packet)
	return proxy.PROXY_SEND_QUERY
end

local function note_query(inj, form)
	local q = histogram.queries[form]
	if not q then
		if histogram.forms >= settings.max_forms then form = "(other)" end
		q = histogram.queries[form]
		if not q then
			q = { count = 0, errors = 0, total = 0, max = 0, rows = 0 }
			histogram.queries[form] = q
			histogram.forms = histogram.forms + 1
		end
	end
	local us = inj.response_time
	q.count, q.total, q.max = q.count + 1, q.total + us, math.max(q.max, us)
	q.rows = q.rows + (inj.resultset.row_count or 0)
	if inj.resultset.query_status == proxy.MYSQLD_PACKET_ERR then q.errors = q.errors + 1 end
end

function read_query_result(inj)
	local tokens = tokenizer.tokenize(inj.query:sub(2))
	note_query(inj, (string.gsub(tokenizer.normalize(tokens), " $", "")))
	if inj.resultset.query_status == proxy.MYSQLD_PACKET_ERR then return end
	for name, use in pairs(parser.get_tables(tokens)) do
		local t = histogram.tables[name]
		if not t then
			t = { read = 0, write = 0 }
			histogram.tables[name] = t
		end
		t[use] = t[use] + 1
	end
end
