-- Shows nobody the column "secret" of any result, and adds a row that says how
-- many there were.

function read_query(packet)
	if packet:byte() == proxy.COM_QUERY and packet:sub(2):upper():match("^%s*SELECT") then
		proxy.queries:append(1, packet, { resultset_is_needed = true })
		return proxy.PROXY_SEND_QUERY
	end
end

function read_query_result(inj)
	local res = inj.resultset
	if res.query_status ~= proxy.MYSQLD_PACKET_OK then return end
	local fields, rows, secret = {}, {}, {}
	for i = 1, #res.fields do
		local f = res.fields[i]
		fields[i] = { name = f.name, type = f.type }
		secret[i] = f.name == "secret"
	end
	if not next(fields) then return end
	for row in res.rows do
		for i = 1, #fields do
			if secret[i] and row[i] then row[i] = "***" end
		end
		rows[#rows + 1] = row
	end
	rows[#rows + 1] = { res.row_count }
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
	return proxy.PROXY_SEND_RESULT
end
