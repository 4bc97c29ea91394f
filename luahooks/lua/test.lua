-- proxy.test: unit tests of scripts
--
--   local tests = require("proxy.test")
--   TestMine = tests.ProxyBaseTest:new()
--   function TestMine:setUp() self:setDefaultScope() end
--   function TestMine:testSomething() assertEquals(1 + 1, 2) end
--   local suite = tests.Suite:new({ result = tests.Result:new() })
--   suite:run({ "TestMine" }) -- without names: all global Test... classes
--   suite.result:print()
--   return suite:exit_code()

local M = {}

local function show(v)
	if type(v) == "string" then
		return '"' .. v .. '"'
	end
	return tostring(v)
end

function M.assertEquals(is, expected, msg)
	if is ~= expected then
		error((msg and msg .. ": " or "") .. "got " .. show(is) .. ", expected " .. show(expected), 2)
	end
end

function M.assertNotEquals(is, expected, msg)
	if is == expected then
		error((msg and msg .. ": " or "") .. "got " .. show(is) .. ", expected anything else", 2)
	end
end

-- tests call them without a prefix
_G.assertEquals = M.assertEquals
_G.assertNotEquals = M.assertNotEquals

-- class makes a class. new is both how it is derived from and how it is
-- instantiated.
local function class()
	local c = {}
	function c:new(o)
		o = o or {}
		setmetatable(o, self)
		self.__index = self
		return o
	end
	return c
end

---
-- a set of tests: all its functions whose names start with test, each between
-- setUp and tearDown
M.BaseTest = class()
function M.BaseTest:setUp() end
function M.BaseTest:tearDown() end

M.ProxyBaseTest = M.BaseTest:new()

---
-- put a table in the place of proxy for a test without a proxy around it: the
-- constants, an empty proxy.global.config, and an error for what is not there.
-- It can be called without an object.
function M.ProxyBaseTest.setDefaultScope()
	local scope = { global = { config = {} } }
	local n = 0
	for name in string.gmatch([[SLEEP QUIT INIT_DB QUERY FIELD_LIST CREATE_DB DROP_DB REFRESH SHUTDOWN STATISTICS
		PROCESS_INFO CONNECT PROCESS_KILL DEBUG PING TIME DELAYED_INSERT CHANGE_USER BINLOG_DUMP TABLE_DUMP
		CONNECT_OUT REGISTER_SLAVE STMT_PREPARE STMT_EXECUTE STMT_SEND_LONG_DATA STMT_CLOSE STMT_RESET
		SET_OPTION STMT_FETCH DAEMON]], "%S+") do
		scope["COM_" .. name] = n
		n = n + 1
	end
	for name, value in pairs({
		PROXY_SEND_QUERY = 1, PROXY_SEND_RESULT = 2, PROXY_IGNORE_RESULT = 4,
		MYSQLD_PACKET_OK = 0, MYSQLD_PACKET_RAW = 250, MYSQLD_PACKET_ERR = 255,
		MYSQL_TYPE_LONG = 3, MYSQL_TYPE_VAR_STRING = 253, MYSQL_TYPE_STRING = 254,
		BACKEND_STATE_UNKNOWN = 0, BACKEND_STATE_UP = 1, BACKEND_STATE_DOWN = 2,
		BACKEND_TYPE_UNKNOWN = 0, BACKEND_TYPE_RW = 1, BACKEND_TYPE_RO = 2,
	}) do
		scope[name] = value
	end
	_G.proxy = setmetatable(scope, {
		__index = function (_, key)
			error("proxy." .. tostring(key) .. " is not there in a test, set it", 2)
		end,
	})
end

---
-- what became of the tests
M.Result = class()

function M.Result:new(o)
	o = o or {}
	o.passed, o.failed, o.failures = 0, 0, {}
	setmetatable(o, self)
	self.__index = self
	return o
end

function M.Result:print()
	for _, failure in ipairs(self.failures) do
		print(failure.name .. " failed: " .. tostring(failure.message))
	end
	print(string.format("%d passed, %d failed", self.passed, self.failed))
end

---
-- runs tests
M.Suite = class()

-- run_one runs a single test; a failing tearDown fails it too
local function run_one(test, name)
	local self = test:new()
	local ok, err = pcall(function ()
		self:setUp()
		self[name](self)
	end)
	local torn, terr = pcall(function () self:tearDown() end)
	return ok and torn, err or terr
end

---
-- run tests
--
-- @param names names of global classes; all that start with Test if left out
function M.Suite:run(names)
	if not names then
		names = {}
		for name, value in pairs(_G) do
			if type(name) == "string" and string.sub(name, 1, 4) == "Test" and type(value) == "table" then
				names[#names + 1] = name
			end
		end
		table.sort(names)
	end
	for _, name in ipairs(names) do
		local test = _G[name]
		if type(test) ~= "table" then
			error("no class of tests: " .. name, 2)
		end
		local methods = {}
		for method, f in pairs(test) do
			if type(method) == "string" and string.sub(method, 1, 4) == "test" and type(f) == "function" then
				methods[#methods + 1] = method
			end
		end
		table.sort(methods)
		for _, method in ipairs(methods) do
			local ok, err = run_one(test, method)
			if ok then
				self.result.passed = self.result.passed + 1
			else
				self.result.failed = self.result.failed + 1
				table.insert(self.result.failures, { name = name .. ":" .. method, message = err })
			end
		end
	end
end

---
-- 0 if all tests have passed, else 1
function M.Suite:exit_code()
	if self.result.failed == 0 then
		return 0
	end
	return 1
end

---
-- end the process with the exit code: for tests that are run alone
function M.Suite:exit()
	os.exit(self:exit_code())
end

return M
