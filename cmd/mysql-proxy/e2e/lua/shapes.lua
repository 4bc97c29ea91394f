-- Counts statements by their shape, for all clients together. SELECT * FROM
-- shapes shows the counts, most frequent first.

local tokenizer = require("proxy.tokenizer")

proxy.global.shapes = proxy.global.shapes or {}

function read_query(packet)
	if packet:byte() ~= proxy.COM_QUERY then return end
	local tokens = tokenizer.tokenize(packet:sub(2))
	local shape = tokenizer.normalize(tokens)
	local shapes = proxy.global.shapes
	if shape ~= "SELECT * FROM `shapes` " then
		shapes[shape] = (shapes[shape] or 0) + 1
		return
	end
	local rows = {}
	for text, count in pairs(shapes) do rows[#rows + 1] = { count, text } end
	table.sort(rows, function(a, b) return a[1] > b[1] or a[1] == b[1] and a[2] < b[2] end)
	proxy.response = {
		type = proxy.MYSQLD_PACKET_OK,
		resultset = {
			fields = { { name = "count", type = proxy.MYSQL_TYPE_LONG }, { name = "shape", type = proxy.MYSQL_TYPE_STRING } },
			rows = rows,
		},
	}
	return proxy.PROXY_SEND_RESULT
end
