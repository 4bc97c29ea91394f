-- One query rewritten, one result changed, one given back as it was, one made.
local function query(sql) return string.char(proxy.COM_QUERY) .. sql end

function read_query(packet)
	local sql = packet:sub(2)
	if packet:byte() ~= proxy.COM_QUERY then return end
	if sql == "SELECT 1" then
		proxy.queries:append(7, query("SELECT 2"))
		return proxy.PROXY_SEND_QUERY
	elseif sql == "SELECT 3" or sql == "DO 1" then
		proxy.queries:append(8, packet, { resultset_is_needed = true })
		return proxy.PROXY_SEND_QUERY
	elseif sql == "SELECT 4" then
		proxy.response = {
			type = proxy.MYSQLD_PACKET_OK,
			resultset = {
				fields = { { name = "a", type = proxy.MYSQL_TYPE_STRING }, { name = "long name", type = proxy.MYSQL_TYPE_STRING } },
				rows = { { "x", "\195\164\27[2J" }, { nil, "two\nlines" } },
			},
		}
		return proxy.PROXY_SEND_RESULT
	end
end

function read_query_result(inj)
	if inj.id ~= 8 then return end
	if inj.query:sub(2) == "DO 1" then
		proxy.response = { type = proxy.MYSQLD_PACKET_RAW, packets = { inj.resultset.raw } }
	else
		proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errcode = 1105, sqlstate = "HY000", errmsg = "no threes" }
	end
	return proxy.PROXY_SEND_RESULT
end
