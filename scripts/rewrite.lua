--[[
rewrite.lua - other statements to the server, other values to the client

What it does
  1. Statements: the first rule whose pattern matches the whole statement makes a
     new one of it. As they stand, the rules
       - give SELECT * FROM a large table without WHERE and LIMIT a LIMIT,
       - make a misspelt SELCT right,
       - refuse DELETE and UPDATE without WHERE with an error.
  2. Results: the values of the columns that are named below are masked.

How to start it
  mysql-proxy --proxy-address=:4040 \
    --proxy-backend-addresses=10.0.0.1:3306 \
    --proxy-lua-script=scripts/rewrite.lua

What to set: "rules" and "masks" below. A rule's first field is a Lua pattern for
the whole statement in lower case; the second is a function that gets the
statement and the pattern's captures and returns the statement to send instead, or
nil and an error text.

Limits
  - Patterns know no SQL: a string that looks like a keyword is taken for one.
  - Prepared statements are rewritten when they are prepared; their rows are not
    masked, for their values are binary. Do not take masks for access control:
    SELECT CONCAT(phone) is not masked either.
  - Results with a masked column are held in memory until they are whole. Results
    with other columns are too, but only if the statement names a masked column
    or has a *.
  - A masked result has the columns' names and types, but neither their tables nor
    lengths; of several results only the first one arrives.
]]

local rules = {
	{ "^%s*selct%s+.*$", function(q)
		return (string.gsub(q, "[sS][eE][lL][cC][tT]", "SELECT", 1))
	end },
	{ "^%s*select%s+%*%s+from%s+([%w_.`]+)%s*;?%s*$", function(_, tbl)
		return "SELECT * FROM " .. tbl .. " LIMIT 1000"
	end },
	{ "^%s*delete%s+from%s+[%w_.`]+%s*;?%s*$", function()
		return nil, "DELETE without WHERE"
	end },
	{ "^%s*update%s+[%w_.`]+%s+set%s+.*$", function(q)
		if not string.find(string.lower(q), "%swhere%s") then return nil, "UPDATE without WHERE" end
		return q
	end },
}

-- Column name in lower case => what becomes of a value.
local masks = {
	phone = function(v) return string.rep("*", math.max(#v - 2, 0)) .. string.sub(v, -2) end,
	email = function(v) return (string.gsub(v, "^[^@]+", "***")) end,
}

local PASS, MASK = 1, 2

-- rewrite returns the statement to send, or nil and why not.
local function rewrite(query)
	local lower = string.lower(query)
	for _, rule in ipairs(rules) do
		local first, last, a = string.find(lower, rule[1])
		if first == 1 and last == #lower then
			-- captures in the statement's own letters
			if a then
				local at = string.find(lower, a, 1, true)
				a = string.sub(query, at, at + #a - 1)
			end
			return rule[2](query, a)
		end
	end
	return query
end

local function may_have_masked(query)
	if string.find(query, "*", 1, true) then return true end
	local lower = string.lower(query)
	for name in pairs(masks) do
		if string.find(lower, name, 1, true) then return true end
	end
	return false
end

function read_query(packet)
	local c = packet:byte()
	if c ~= proxy.COM_QUERY and c ~= proxy.COM_STMT_PREPARE then return end
	local query = packet:sub(2)
	local sent, why = rewrite(query)
	if not sent then
		proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errcode = 1105, sqlstate = "HY000", errmsg = "refused: " .. why }
		return proxy.PROXY_SEND_RESULT
	end
	if c == proxy.COM_QUERY and may_have_masked(sent) then
		proxy.queries:append(MASK, string.char(c) .. sent, { resultset_is_needed = true })
	elseif sent ~= query then
		proxy.queries:append(PASS, string.char(c) .. sent)
	else
		return
	end
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local res = inj.resultset
	if inj.id ~= MASK or res.query_status ~= proxy.MYSQLD_PACKET_OK or not res.rows then return end
	local fields, masked, any = {}, {}, false
	for i = 1, #res.fields do
		local f = res.fields[i]
		fields[i] = { name = f.name, type = f.type }
		-- org_name is the column's name in the table: an alias hides nothing
		masked[i] = masks[string.lower(f.org_name)] or masks[string.lower(f.name)]
		any = any or masked[i] ~= nil
	end
	if not any then return end -- as it came
	local rows = {}
	for row in res.rows do
		for i, mask in pairs(masked) do
			if row[i] then row[i] = mask(row[i]) end
		end
		rows[#rows + 1] = row
	end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
	return proxy.PROXY_SEND_RESULT
end
