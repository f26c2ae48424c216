-- Calls a script's function for records that come in one packed text, and packs what it returns: a call from Rust costs more
-- than the work for a record.
--
--   feed  tag, count, the packed times of all records, the packed records
--   go    what became of each that was done; their tables, before each its time if it is new; whether the rest can be read; why
--         the last one failed
--
-- What became of a record: -1 left out, 0 as it was, 1 with a new time, 2 without; and 4 for each table of an array that it
-- became. -2 failed, -3 nonsense. After those two nothing else of the packed tables can be read, so `go` returns.
local time_as_table, parts_max, bytes_max, used_max = ...

local pcall, error, type, rawget, collectgarbage = pcall, error, type, rawget, collectgarbage
local clear = require("table.clear")
local buffer = require("string.buffer")

-- What JSON had as an array has this metatable, so that an empty one does not become a map.
local mark = {}
local input, output = buffer.new({ metatable = { mark } }), buffer.new({ metatable = { mark } })
local decode, encode = input.decode, output.encode
local packed_codes = buffer.new()

-- Bytes of packed tables after which Rust takes them.
local OUTPUT_MAX = 1048576
-- The record at work, and that which ran for too long. Rust looks at the one and sets the other.
local progress = { 0, false }
local codes = require("table.new")(256, 0)
local tag, count, times, decoded

local function time_of(record)
  if time_as_table then
    return { sec = times[2 * record - 1], nsec = times[2 * record] }
  end
  return times[record]
end

-- Packs a table, or the tables of an array. How many of an array; nil where that is too much.
local function take(answer)
  local parts = #answer
  for at = 1, parts do
    if type(rawget(answer, at)) ~= "table" then
      parts = 0
      break
    end
  end
  if parts > parts_max then
    return nil
  end
  if parts == 0 then
    encode(output, answer)
  end
  for at = 1, parts do
    encode(output, rawget(answer, at))
    if #output > bytes_max then
      return nil
    end
  end
  return #output <= bytes_max and parts or nil
end

local function each(call, progress, codes, input, output, decode, take)
  local before = progress[1]
  for record = before + 1, count do
    progress[1] = record
    local fields = decode(input)
    decoded = record
    local code, time, answer = call(tag, time_of(record), fields)
    if code == 0 or code == -1 then
      codes[record - before] = code
    elseif (code == 1 or code == 2) and type(answer) == "table" then
      if code == 1 then
        encode(output, time)
      end
      local parts = take(answer)
      if not parts then
        codes[record - before] = -3
        return
      end
      codes[record - before] = code + 4 * parts
      if #output > OUTPUT_MAX then
        return
      end
    else
      codes[record - before] = -3
    end
  end
end

local function feed(new_tag, new_count, packed_times, packed_records)
  -- A pause of the collector lets memory grow by so much per cent: the less often, the cheaper.
  collectgarbage("setpause", collectgarbage("count") * 1024 > used_max / 5 and 120 or 400)
  tag, count = new_tag, new_count
  times = decode(input:set(packed_times))
  input:set(packed_records)
  decoded = 0
  progress[1], progress[2] = 0, false
end

local function go(call)
  clear(codes)
  output:reset()
  packed_codes:reset()
  local before = progress[1]
  local ok, why = pcall(each, call, progress, codes, input, output, decode, take)
  if not ok then
    codes[progress[1] - before] = -2
    if type(why) ~= "string" then
      why = progress[2] == progress[1] and "it took too many steps" or nil
    elseif why == "not enough memory" then
      collectgarbage()
    end
  end
  encode(packed_codes, codes)
  local tables = output:get()
  if #tables > OUTPUT_MAX then
    output:free()
  end
  return packed_codes:get(), tables, decoded == progress[1], not ok and why or nil
end

-- What is stopped for its steps must not go on because it catches that.
local function caught(ok, ...)
  if not ok and progress[2] == progress[1] then
    error("it took too many steps", 0)
  end
  return ok, ...
end

function _G.pcall(f, ...)
  return caught(pcall(f, ...))
end

local function handled(handler, ok, ...)
  if ok then
    return ok, ...
  end
  return false, handler(...)
end

function _G.xpcall(f, handler, ...)
  return handled(handler, caught(pcall(f, ...)))
end

local resume = coroutine.resume
function coroutine.resume(routine, ...)
  return caught(resume(routine, ...))
end

-- The steps of compiled code are not counted, nor are those of what runs when something is collected.
jit.off()
jit.on = jit.off
newproxy = nil

return feed, go, progress
