-- proxy.commands: a command's payload as a table

local M = {}

-- names by number; MySQL Proxy calls the 30th like the 18th
local names = {
	[0] = "COM_SLEEP", "COM_QUIT", "COM_INIT_DB", "COM_QUERY", "COM_FIELD_LIST",
	"COM_CREATE_DB", "COM_DROP_DB", "COM_REFRESH", "COM_SHUTDOWN", "COM_STATISTICS",
	"COM_PROCESS_INFO", "COM_CONNECT", "COM_PROCESS_KILL", "COM_DEBUG", "COM_PING",
	"COM_TIME", "COM_DELAYED_INSERT", "COM_CHANGE_USER", "COM_BINLOG_DUMP", "COM_TABLE_DUMP",
	"COM_CONNECT_OUT", "COM_REGISTER_SLAVE", "COM_STMT_PREPARE", "COM_STMT_EXECUTE",
	"COM_STMT_SEND_LONG_DATA", "COM_STMT_CLOSE", "COM_STMT_RESET", "COM_SET_OPTION",
	"COM_STMT_FETCH", "COM_DAEMON", "COM_BINLOG_DUMP",
}

-- the field that takes the whole argument, by command
local text_field = {
	COM_QUERY = "query", COM_STMT_PREPARE = "query",
	COM_INIT_DB = "schema", COM_CREATE_DB = "schema", COM_DROP_DB = "schema",
	COM_FIELD_LIST = "table",
	COM_SET_OPTION = "option",
}

local has_statement = { COM_STMT_EXECUTE = true, COM_STMT_CLOSE = true }
local has_nothing = { COM_QUIT = true, COM_PING = true, COM_SHUTDOWN = true, COM_BINLOG_DUMP = true }

---
-- take a command apart
--
-- @param packet the payload
-- @return a table with type, type_name and what the command has
function M.parse(packet)
	if type(packet) ~= "string" or packet == "" then
		error("(command) empty packet", 2)
	end
	local cmd = { type = string.byte(packet, 1) }
	local name = names[cmd.type]
	cmd.type_name = name
	local field = text_field[name]
	if field then
		cmd[field] = string.sub(packet, 2)
	elseif has_statement[name] then
		if #packet < 5 then
			error("(command) " .. name .. " ends before its statement id", 2)
		end
		local a, b, c, d = string.byte(packet, 2, 5)
		cmd.stmt_handler_id = a + b * 256 + c * 65536 + d * 16777216
	elseif not has_nothing[name] then
		print("[debug] (command) unhandled type name: " .. tostring(name or cmd.type))
	end
	return cmd
end

---
-- a command as a line of text
function M.pretty_print(cmd)
	local name = tostring(cmd.type_name)
	local text
	if cmd.type_name and text_field[name] then
		text = cmd[text_field[name]]
	elseif cmd.stmt_handler_id then
		text = string.format("stmt-id = %d", cmd.stmt_handler_id)
	elseif name == "COM_QUIT" or name == "COM_PING" or name == "COM_SHUTDOWN" then
		return "[" .. name .. "]"
	end
	return "[" .. name .. "] " .. (text or "... no idea")
end

return M
