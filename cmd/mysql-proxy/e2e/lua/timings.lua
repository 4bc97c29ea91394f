-- Times every statement. Behind it a second query is put, whose result nobody
-- sees; a statement that says "alone" goes without. SELECT * FROM timings shows
-- what was noted.

local noted = proxy.global.timings or {}
proxy.global.timings = noted

local function number(name)
	return { name = name, type = proxy.MYSQL_TYPE_LONGLONG }
end

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local text = packet:sub(2)
	if text == "SELECT * FROM timings" then
		proxy.response = {
			type = proxy.MYSQLD_PACKET_OK,
			resultset = {
				fields = { { name = "statement", type = proxy.MYSQL_TYPE_STRING }, number("query_time"), number("response_time"), number("rows") },
				rows = noted,
			},
		}
		return proxy.PROXY_SEND_RESULT
	end
	proxy.queries:append(1, packet)
	if not text:find("alone", 1, true) then
		proxy.queries:append(2, string.char(proxy.COM_QUERY) .. "SHOW SESSION STATUS LIKE 'Questions'", { resultset_is_needed = true })
	end
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	if inj.id == 1 then
		noted[#noted + 1] = { inj.query:sub(2), inj.query_time, inj.response_time, inj.resultset.row_count }
		return
	end
	for row in inj.resultset.rows do
		assert(row[1] == "Questions" and tonumber(row[2]) > 0)
	end
	return proxy.PROXY_IGNORE_RESULT
end
