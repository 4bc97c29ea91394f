--[[
tutorial-4-inject.lua - send more than was asked for, and measure

  mysql-proxy --proxy-address=:4040 --proxy-backend-addresses=127.0.0.1:3306 \
    --proxy-lua-script=scripts/tutorial-4-inject.lua
  mysql -h 127.0.0.1 -P 4040 -u app -p -e 'SELECT 1/0; SELECT SLEEP(0.1)'

Each command of the queue that has been answered brings a call of
read_query_result; inj.id is the number that append was given. A command may get
only one result, so the result of what the client did not ask for has to be
dropped: proxy.PROXY_IGNORE_RESULT. For that, and to see its rows, the proxy has to
hold it: resultset_is_needed.

This script prints how long each statement took, and asks for the warnings of those
that have some.

What to set: nothing. Limits: SHOW WARNINGS of the client shows nothing any more
after ours; statements that upload a file have no time.
]]

local STATEMENT, WARNINGS = 1, 2

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	proxy.queries:append(STATEMENT, packet)
	return proxy.PROXY_SEND_QUERY
end

function read_query_result(inj)
	if inj.id == STATEMENT then
		print(string.format("%.1f ms, %d warnings: %s", inj.response_time / 1000, inj.resultset.warning_count or 0, inj.query:sub(2)))
		if (inj.resultset.warning_count or 0) > 0 then
			proxy.queries:append(WARNINGS, string.char(proxy.COM_QUERY) .. "SHOW WARNINGS", { resultset_is_needed = true })
		end
		return -- it has gone to the client already
	end
	for row in inj.resultset.rows do
		print("  " .. row[1] .. " " .. row[2] .. ": " .. row[3])
	end
	return proxy.PROXY_IGNORE_RESULT
end
