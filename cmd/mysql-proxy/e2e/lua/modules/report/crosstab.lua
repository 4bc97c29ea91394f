-- Crosstabs: the values of one column become columns. The statement
--
--   CROSSTAB table row_column column value
--
-- needs the values first, and then one query with a sum for each of them.

module("report.crosstab", package.seeall)

local values, total = 1, 2

-- parse returns what the statement is about, or nil.
function parse(text)
	local t, row, column, value = text:match("^CROSSTAB%s+([%w_.]+)%s+([%w_]+)%s+([%w_]+)%s+([%w_]+)$")
	return t and { table = t, row = row, column = column, value = value }
end

function ask(wish)
	proxy.queries:append(values, string.char(proxy.COM_QUERY) ..
		("SELECT DISTINCT %s FROM %s ORDER BY 1"):format(wish.column, wish.table), { resultset_is_needed = true })
	return proxy.PROXY_SEND_QUERY
end

function result(wish, inj)
	if inj.id ~= values or inj.resultset.query_status == proxy.MYSQLD_PACKET_ERR then return end
	local sums = {}
	for row in inj.resultset.rows do
		sums[#sums + 1] = ("SUM(IF(%s = '%s', %s, 0)) AS `%s`"):format(wish.column, row[1], wish.value, row[1])
	end
	proxy.queries:append(total, string.char(proxy.COM_QUERY) ..
		("SELECT %s, %s FROM %s GROUP BY 1 ORDER BY 1"):format(wish.row, table.concat(sums, ", "), wish.table))
	return proxy.PROXY_IGNORE_RESULT
end
