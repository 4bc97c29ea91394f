-- What many scripts do at the head of read_query: look at the command and at
-- the first word, count, and let the query go.
proxy.global.seen = proxy.global.seen or { selects = 0, others = 0 }

local seen = proxy.global.seen

function read_query(packet)
	if packet:byte(1) ~= proxy.COM_QUERY then
		return
	end
	if packet:sub(2, 7):upper() == "SELECT" then
		seen.selects = seen.selects + 1
	else
		seen.others = seen.others + 1
	end
end
