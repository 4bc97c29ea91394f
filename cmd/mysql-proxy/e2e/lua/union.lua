-- BOTH statement AND statement: two queries, one result with the rows of both.

local first, second = 1, 2
local kept

local function add(res)
	for row in res.rows do kept[#kept + 1] = row end
end

function read_query(packet)
	local one, two = packet:match("^\3BOTH (.-) AND (.*)$")
	if not one then return end
	kept = {}
	-- The second one first: prepend puts the other before it.
	proxy.queries:append(second, string.char(proxy.COM_QUERY) .. two, { resultset_is_needed = true })
	proxy.queries:prepend(first, string.char(proxy.COM_QUERY) .. one, { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local res = inj.resultset
	if res.query_status == proxy.MYSQLD_PACKET_ERR then
		proxy.queries:reset() -- this error is the client's result
		return
	end
	add(res)
	if inj.id == first then return proxy.PROXY_IGNORE_RESULT end
	local fields = {}
	for i = 1, #res.fields do
		fields[i] = { name = res.fields[i].name, type = res.fields[i].type }
	end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = kept } }
	return proxy.PROXY_SEND_RESULT
end
