--[[
tutorial-5-results.lua - change a result

  mysql-proxy --proxy-address=:4040 --proxy-backend-addresses=127.0.0.1:3306 \
    --proxy-lua-script=scripts/tutorial-5-results.lua
  mysql -h 127.0.0.1 -P 4040 -u app -p -e 'SELECT 1 AS a, 2 AS b'

read_query_result may answer for the server: with proxy.response and
proxy.PROXY_SEND_RESULT, as in tutorial 2. This script puts a column in front of
each result of a SELECT that numbers its rows.

inj.resultset.fields has the columns, inj.resultset.rows gives a row at a time;
their values are strings, or nil for NULL. A row with a NULL at its end is shorter
than it should be, so columns are counted by the fields.

What to set: nothing. Limits: the result is held in memory until it is whole, and
tells less of its columns than the server did. Prepared statements are as before.
]]

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	if not string.find(string.upper(packet:sub(2)), "^%s*SELECT%s") then return end
	proxy.queries:append(1, packet, { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	local res = inj.resultset
	if not res.rows then return end -- an error, or SELECT ... INTO
	local fields = { { name = "#", type = proxy.MYSQL_TYPE_LONGLONG } }
	for i = 1, #res.fields do
		fields[i + 1] = { name = res.fields[i].name, type = res.fields[i].type }
	end
	local rows = {}
	for row in res.rows do
		local out = { #rows + 1 }
		for i = 1, #res.fields do out[i + 1] = row[i] end
		rows[#rows + 1] = out
	end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
	return proxy.PROXY_SEND_RESULT
end
