-- The crosstabs of a module that is found by LUA_PATH.

local crosstab = require("report.crosstab")
local wish

function read_query(packet)
	wish = packet:byte() == proxy.COM_QUERY and crosstab.parse(packet:sub(2))
	if wish then return crosstab.ask(wish) end
end

function read_query_result(inj)
	return crosstab.result(wish, inj)
end
