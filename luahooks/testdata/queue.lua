-- Fills, empties and fills the queue again.
function read_query(packet)
	proxy.queries:append(1, packet)
	proxy.queries:prepend(2, packet, {})
	proxy.queries:reset()
	print(#proxy.queries)
	proxy.queries:append("1", "second", nil)
	proxy.queries:append(2.9, 0.1, { resultset_is_needed = false })
	proxy.queries:prepend(7, "first\0", { resultset_is_needed = true })
	print(#proxy.queries .. " " .. proxy.queries:len())
	return proxy.PROXY_SEND_QUERY
end
