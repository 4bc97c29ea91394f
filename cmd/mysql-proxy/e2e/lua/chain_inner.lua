-- The inner one of two proxies: its name becomes a part of the statement on the way
-- to the server, and a row of the result on the way back.

function read_query(packet)
	if not packet:find("chain", 1, true) then return end
	proxy.queries:append(1, packet .. " ' inner'", { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local f, rows = inj.resultset.fields[1], {}
	for row in inj.resultset.rows do rows[#rows + 1] = row end
	rows[#rows + 1] = { "inner of " .. #proxy.global.backends }
	proxy.response = {
		type = proxy.MYSQLD_PACKET_OK,
		resultset = { fields = { { name = f.name, type = f.type } }, rows = rows },
	}
	return proxy.PROXY_SEND_RESULT
end
