-- proxy.auto-config: options of scripts, in proxy.global.config, that a client
-- can look at and set
--
--   PROXY SHOW CONFIG
--   PROXY SET GLOBAL module.option = value
--   PROXY SAVE CONFIG INTO "file"
--   PROXY LOAD CONFIG FROM "file"

local M = {}

local longest = 128 -- bytes of a statement that is looked at

-- sorted_keys returns the keys of a table that are strings
local function sorted_keys(t)
	local keys = {}
	for k in pairs(t) do
		if type(k) == "string" then
			keys[#keys + 1] = k
		end
	end
	table.sort(keys)
	return keys
end

-- quote writes a string so that Lua reads it back, on one line
local function quote(s)
	return '"' .. string.gsub(s, '[%c"\\]', function (c)
		return string.format("\\%03d", string.byte(c))
	end) .. '"'
end

local function literal(v)
	if type(v) == "string" then
		return quote(v)
	elseif type(v) == "number" and v == math.floor(v) and v > -2^53 and v < 2^53 then
		return string.format("%d", v)
	end
	return tostring(v)
end

local savable = { string = true, number = true, boolean = true }

---
-- write all options into a file
--
-- @return true, or false and what has failed
function M.save(config, filename)
	local lines = { "return {" }
	for _, module in ipairs(sorted_keys(config)) do
		if type(config[module]) == "table" then
			lines[#lines + 1] = "\t[" .. quote(module) .. "] = {"
			for _, option in ipairs(sorted_keys(config[module])) do
				local value = config[module][option]
				if savable[type(value)] then
					lines[#lines + 1] = "\t\t[" .. quote(option) .. "] = " .. literal(value) .. ","
				end
			end
			lines[#lines + 1] = "\t},"
		end
	end
	lines[#lines + 1] = "}\n"

	local file, err = io.open(filename, "w")
	if not file then
		return false, err
	end
	local ok, werr = file:write(table.concat(lines, "\n"))
	local closed, cerr = file:close()
	if not ok or closed == false then
		return false, werr or cerr or "writing " .. filename .. " has failed"
	end
	return true
end

---
-- take the options of a file over, which is run as Lua and returns them. Nothing
-- is changed if it fails.
--
-- @return true, or false and what has failed
function M.load(config, filename)
	local file, oerr = io.open(filename, "r") -- for the system's own words
	if not file then
		return false, oerr
	end
	file:close()
	local chunk, err = loadfile(filename)
	if not chunk then
		return false, err
	end
	local ok, options = pcall(chunk)
	if not ok then
		return false, tostring(options)
	end
	if type(options) ~= "table" then
		return false, filename .. " returns no table"
	end
	for module, opts in pairs(options) do
		if type(opts) ~= "table" then
			return false, filename .. ": " .. tostring(module) .. " is no table"
		end
	end
	for module, opts in pairs(options) do
		if type(config[module]) ~= "table" then
			config[module] = {}
		end
		for option, value in pairs(opts) do
			config[module][option] = value
		end
	end
	return true
end

local function answer_ok(affected)
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, affected_rows = affected }
end

local function answer_err(msg)
	proxy.response = { type = proxy.MYSQLD_PACKET_ERR, errmsg = msg }
end

local function show(config)
	local rows = {}
	for _, module in ipairs(sorted_keys(config)) do
		if type(config[module]) == "table" then
			for _, option in ipairs(sorted_keys(config[module])) do
				local value = config[module][option]
				rows[#rows + 1] = { module, option, tostring(value), type(value) }
			end
		end
	end
	local fields = {}
	for i, name in ipairs({ "module", "option", "value", "type" }) do
		fields[i] = { name = name, type = proxy.MYSQL_TYPE_STRING }
	end
	proxy.response = { type = proxy.MYSQLD_PACKET_OK, resultset = { fields = fields, rows = rows } }
end

local function set(config, module, option, value)
	local options = config[module]
	if type(options) ~= "table" then
		return answer_err("module not known")
	end
	local old = options[option]
	if old == nil then
		return answer_err("option not know")
	end
	if type(old) ~= type(value) then
		return answer_err("(auto-config) expected a " .. type(old) .. ", got " .. type(value))
	end
	options[option] = value
	answer_ok(1)
end

-- words matches a statement against keywords in any case with blanks between
-- them; the blanks at its end are part of it. Returns what follows.
local function words(query, ...)
	local rest = query
	for i = 1, select("#", ...) do
		local word, blanks, more = string.match(rest, "^(%a+)([ \t\n]*)(.*)$")
		if not word or string.upper(word) ~= select(i, ...) or (blanks == "" and more ~= "") then
			return nil
		end
		rest = more
	end
	return rest
end

-- value_of reads "text", an integer, true or false
local function value_of(text)
	local s = string.match(text, '^"([^"]*)"$')
	if s then
		return s
	elseif string.match(text, "^-?%d+$") then
		return tonumber(text)
	elseif text == "true" then
		return true
	elseif text == "false" then
		return false
	end
	return nil
end

---
-- answer a statement about the configuration
--
-- @param config proxy.global.config; may be left out
-- @param cmd    a command of proxy.commands
-- @return PROXY_SEND_RESULT if proxy.response has been filled, else nothing
function M.handle(config, cmd)
	if not cmd then
		cmd = config
		config = proxy.global.config
	end
	if cmd.type ~= proxy.COM_QUERY or #cmd.query > longest then
		return
	end
	local query = cmd.query
	if words(query, "PROXY", "SHOW", "CONFIG") == "" then
		show(config)
		return proxy.PROXY_SEND_RESULT
	end
	local rest = words(query, "PROXY", "SET", "GLOBAL")
	if rest then
		local module, option, text = string.match(rest, "^([%a_][%w_]*)%.([%a_][%w_]*)[ \t\n]*=[ \t\n]*(.-)[ \t\n]*$")
		local value = text and value_of(text)
		if value == nil then
			return
		end
		set(config, module, option, value)
		return proxy.PROXY_SEND_RESULT
	end
	local action = M.save
	rest = words(query, "PROXY", "SAVE", "CONFIG", "INTO")
	if not rest then
		action = M.load
		rest = words(query, "PROXY", "LOAD", "CONFIG", "FROM")
	end
	local filename = rest and string.match(rest, '^"([^"]+)"[ \t\n]*$')
	if not filename then
		return
	end
	local ok, err = action(config, filename)
	if ok then
		answer_ok(0)
	else
		answer_err(err)
	end
	return proxy.PROXY_SEND_RESULT
end

setmetatable(proxy.global.config, { __index = { handle = M.handle, load = M.load, save = M.save } })

return M
