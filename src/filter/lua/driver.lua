-- Calls a script's function for records that come in one packed text, and packs what it returns: a call from Rust costs more
-- than the work for a record.
--
--   learn the packed words that go over as numbers
--   feed  tag, count, the packed times of all records, the packed records
--   go    what became of each that was done; their tables, before each its time if it is new; whether the rest can be read; why
--         the last one failed
--
-- What became of a record: -1 left out, 0 as it was, 1 with a new time, 2 without; and 4 for each table of an array that it
-- became. -2 failed, -3 nonsense. After those two nothing else of the packed tables can be read, so `go` returns.
local parts_max, bytes_max, used_max = ...

local pcall, error, type, rawget, collectgarbage = pcall, error, type, rawget, collectgarbage
local clear = require("table.clear")
local buffer = require("string.buffer")

-- What JSON had as an array has this metatable, so that an empty one does not become a map.
local mark = {}
local packed_codes = buffer.new()
local decode, encode = packed_codes.decode, packed_codes.encode
local input, output

-- Bytes of packed tables after which Rust takes them.
local OUTPUT_MAX = 1048576
-- The record at work, and that which ran for too long. Rust looks at the one and sets the other.
local progress = { 0, false }
local codes = require("table.new")(256, 0)
local tag, count, times

-- Packs the tables of an array, or the table itself if it is none. How many of an array; nil where that is too much.
local function take(answer)
  local parts = #answer
  for at = 1, parts do
    if type(rawget(answer, at)) ~= "table" then
      parts = 0
      break
    end
  end
  if parts == 0 then
    encode(output, answer)
  elseif parts > parts_max then
    return nil
  end
  for at = 1, parts do
    encode(output, rawget(answer, at))
    if #output > bytes_max then
      return nil
    end
  end
  return parts
end

-- What happens most stands first, and in locals: each step of this loop is done for every record.
local function each(call, before)
  local tag, times, progress, codes, input, output = tag, times, progress, codes, input, output
  local decode, encode, type = decode, encode, type
  local look = before + 16
  for record = before + 1, count do
    local fields = decode(input)
    progress[1] = record
    local code, time, answer = call(tag, times[record], fields)
    if code == 2 and type(answer) == "table" and #answer == 0 then
      encode(output, answer)
      codes[record - before] = 2
    elseif code == 0 or code == -1 then
      codes[record - before] = code
    elseif (code == 1 or code == 2) and type(answer) == "table" then
      if code == 1 then
        encode(output, time)
      end
      local parts = take(answer)
      codes[record - before] = parts and code + 4 * parts or -3
      if not parts or parts > 1 and #output > OUTPUT_MAX then
        return
      end
    else
      codes[record - before] = -3
    end
    if record == look then
      if #output > OUTPUT_MAX then
        return
      end
      look = look + 16
    end
  end
end

local function learn(packed_words)
  local options = { dict = decode(buffer.new():set(packed_words)), metatable = { mark } }
  input, output = buffer.new(options), buffer.new(options)
end

local function feed(new_tag, new_count, packed_times, packed_records)
  -- A pause of the collector lets memory grow by so much per cent: the less often, the cheaper.
  collectgarbage("setpause", collectgarbage("count") * 1024 > used_max / 5 and 120 or 400)
  tag, count = new_tag, new_count
  times = decode(input:set(packed_times))
  input:set(packed_records)
  progress[1], progress[2] = 0, false
end

local function go(call)
  clear(codes)
  output:reset()
  packed_codes:reset()
  local before, goes_on = progress[1], true
  local ok, why = pcall(each, call, before)
  if not ok then
    -- Of one that could not be read there is no answer yet, and none of those behind it can be.
    goes_on = progress[1] > before and codes[progress[1] - before] == nil
    if not goes_on then
      progress[1] = progress[1] + 1
    end
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
  return packed_codes:get(), tables, goes_on, not ok and why or nil
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

return learn, feed, go, progress
