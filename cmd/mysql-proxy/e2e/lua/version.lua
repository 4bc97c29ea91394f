-- SELECT version names the version of this file that the session runs with, and
-- SPIN has the hook never come back.
local version = "one"

local function answer(text)
	proxy.response = {
		type = proxy.MYSQLD_PACKET_OK,
		resultset = { fields = { { name = "version", type = proxy.MYSQL_TYPE_STRING } }, rows = { { text } } },
	}
	return proxy.PROXY_SEND_RESULT
end

function read_query(packet)
	if packet:sub(2) == "SELECT version" then return answer(version) end
	if packet:find("SPIN", 1, true) then
		while true do end
	end
	proxy.queries:append(1, packet, { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end
