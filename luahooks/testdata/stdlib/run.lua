-- Runs probes: each line of probes.txt is an expression, or statements. Prints
-- what it gives, in a form that needs no more than ASCII.
local function text(v)
	if type(v) ~= "string" then
		v = tostring(v)
		return (string.gsub(v, "0x%x+", "0x"))
	end
	v = string.gsub(v, "0x%x%x%x%x%x%x+", "0x")
	v = string.gsub(v, "(%[C%]: in function 'pcall').*", "%1") -- what is ours, not the probe's
	local out = ""
	for i = 1, #v do
		local c = string.byte(v, i)
		if c == 34 or c == 92 then
			out = out .. "\\" .. string.char(c)
		elseif c >= 32 and c < 127 then
			out = out .. string.char(c)
		else
			out = out .. string.format("\\%03d", c)
		end
	end
	return '"' .. out .. '"'
end

local function show(...)
	local out = {}
	for i = 1, select("#", ...) do
		out[i] = text((select(i, ...)))
	end
	return table.concat(out, " ")
end

local out = {}
for line in string.gmatch(probes, "[^\n]+") do
	if string.sub(line, 1, 2) ~= "--" then
		local f, why = loadstring("return " .. line, "=p")
		if not f then
			f, why = loadstring(line, "=p")
		end
		out[#out + 1] = line
		out[#out + 1] = "\t" .. (f and show(pcall(f)) or "no chunk: " .. tostring(why))
	end
end
return table.concat(out, "\n") .. "\n"
