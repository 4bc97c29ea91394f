-- proxy.parser: which tables a statement reads and writes, as far as its tokens
-- tell

local M = {}

---
-- a table's name with its database, that of the client if none is given
function M.tablename_expand(tbl, db)
	if not db then
		db = proxy.connection.client.default_db
	end
	if db then
		return db .. "." .. tbl
	end
	return tbl
end

local writes = { TK_SQL_DELETE = true, TK_SQL_INSERT = true, TK_SQL_UPDATE = true, TK_SQL_REPLACE = true }
local ddl = { TK_SQL_CREATE = true, TK_SQL_DROP = true, TK_SQL_ALTER = true, TK_SQL_RENAME = true }
-- what ends the list of tables
local ends = {
	TK_SQL_WHERE = true, TK_SQL_GROUP = true, TK_SQL_ORDER = true, TK_SQL_LIMIT = true,
	TK_SQL_HAVING = true, TK_SQL_SET = true, TK_SQL_VALUES = true, TK_SQL_UNION = true, TK_SEMICOLON = true,
}
-- what another table can follow
local starts = {
	TK_SQL_FROM = true, TK_SQL_INTO = true, TK_SQL_UPDATE = true, TK_SQL_JOIN = true,
	TK_SQL_STRAIGHT_JOIN = true, TK_SQL_TABLE = true, TK_SQL_TO = true,
}
-- what has names and commas behind it that are no tables
local conditions = { TK_SQL_ON = true, TK_SQL_USING = true, TK_SQL_INDEX = true, TK_SQL_KEY = true }
-- what can stand before a table's name and is none
local skips = {
	TK_SQL_LOW_PRIORITY = true, TK_SQL_HIGH_PRIORITY = true, TK_SQL_DELAYED = true, TK_SQL_IGNORE = true,
	TK_SQL_IF = true, TK_SQL_NOT = true, TK_SQL_EXISTS = true, TK_OBRACE = true, TK_CBRACE = true,
}

-- kind_of tells what the statement does to its tables, and where to start
local function kind_of(tokens)
	for i = 1, #tokens do
		local name = tokens[i].token_name
		if name == "TK_SQL_SELECT" then
			return "read", i + 1, false
		elseif name == "TK_SQL_UPDATE" then
			return "write", i, false
		elseif name == "TK_SQL_INSERT" or name == "TK_SQL_REPLACE" then
			return "write", i, true -- INTO can be left out
		elseif writes[name] then
			return "write", i + 1, false
		elseif name == "TK_LITERAL" and string.upper(tokens[i].text) == "TRUNCATE" then
			return "write", i + 1, true -- TABLE can be left out
		elseif ddl[name] then
			for j = i + 1, math.min(i + 3, #tokens) do
				if tokens[j].token_name == "TK_SQL_TABLE" then
					return "write", j, false
				end
			end
			return nil
		elseif name ~= "TK_COMMENT" and name ~= "TK_COMMENT_MYSQL" and name ~= "TK_OBRACE" then
			return nil
		end
	end
end

---
-- the tables of a statement
--
-- Sub-selects are not looked into.
--
-- @param tokens list of tokens
-- @return a table: "read" or "write" by "db.tbl"
function M.get_tables(tokens)
	local tables = {}
	local kind, i, expected = kind_of(tokens)
	if not kind then
		return tables
	end
	local seen_list = expected -- the list of tables has begun
	local depth = 0 -- of braces
	local within -- the depth of the condition that we are in
	while i <= #tokens do
		local token = tokens[i]
		local name = token.token_name
		if name == "TK_OBRACE" then
			depth = depth + 1
			local nxt = tokens[i + 1]
			if nxt and nxt.token_name == "TK_SQL_SELECT" and seen_list then
				-- a sub-select or INSERT (SELECT ...): on to its end
				local inner = 1
				while inner > 0 and i < #tokens do
					i = i + 1
					local n = tokens[i].token_name
					if n == "TK_OBRACE" then
						inner = inner + 1
					elseif n == "TK_CBRACE" then
						inner = inner - 1
					end
				end
				depth = depth - 1
				expected = false
			end
		elseif name == "TK_CBRACE" then
			depth = depth - 1
		elseif seen_list and ends[name] then
			break
		elseif name == "TK_COMMA" then
			if seen_list and (not within or depth <= within) then
				expected, within = true, nil
			end
		elseif starts[name] then
			expected, seen_list, within = true, true, nil
		elseif name == "TK_SQL_SELECT" then -- INSERT ... SELECT
			break
		elseif conditions[name] then
			within, expected = depth, false
		elseif name == "TK_SQL_AS" then
			i = i + 1 -- and the alias
		elseif expected and (name == "TK_LITERAL" or name == "TK_FUNCTION") then
			-- a name directly before a brace comes as a function: INSERT INTO t(a)
			local full
			local dot, tbl = tokens[i + 1], tokens[i + 2]
			if dot and dot.token_name == "TK_DOT" and tbl then
				full = M.tablename_expand(tbl.text, token.text)
				i = i + 2
			else
				full = M.tablename_expand(token.text)
			end
			tables[full] = kind
			expected = false
			local brace = tokens[i + 1]
			if brace and brace.token_name == "TK_OBRACE" and kind == "write" then
				break -- columns or definitions
			end
		elseif expected and not skips[name] and not writes[name] and name ~= "TK_COMMENT" then
			print(string.format("(parser) unknown, found token: %s -> %s", name, token.text))
			expected = false
		end
		i = i + 1
	end
	return tables
end

return M
