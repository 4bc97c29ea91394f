-- Queries of the script's own before and behind the client's.
function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	print("query", packet:sub(2))
	proxy.queries:append(1, string.char(proxy.COM_QUERY) .. "SET autocommit = 0", { resultset_is_needed = true })
	proxy.queries:append(2, packet, { resultset_is_needed = true })
	proxy.queries:append(3, string.char(proxy.COM_QUERY) .. "SET autocommit = 1", { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	if inj.id ~= 2 then return proxy.PROXY_IGNORE_RESULT end
end
