-- Stands in for cjson.safe: decodes JSON; nil and a message for what is not JSON.

-- As in cjson, null is no table: it is userdata.
local M = { null = newproxy() }

local LITERALS = { ["true"] = true, ["false"] = false, ["null"] = M.null }
local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local value_at


local function skip(text, at)
  return text:match("^[ \t\r\n]*()", at)
end


local function string_at(text, at)
  local parts = {}
  at = at + 1
  while true do
    local plain, next_at = text:match('^([^"\\]*)()', at)
    parts[#parts + 1] = plain
    local char = text:sub(next_at, next_at)
    if char == '"' then
      return table.concat(parts), next_at + 1
    elseif char ~= "\\" then
      error("unterminated string")
    end
    local escape = text:sub(next_at + 1, next_at + 1)
    assert(escape ~= "u", "\\u is not needed here")
    parts[#parts + 1] = ESCAPES[escape] or escape
    at = next_at + 2
  end
end


local function members_at(text, at, close, read)
  at = skip(text, at + 1)
  if text:sub(at, at) == close then
    return at + 1
  end
  while true do
    at = skip(text, read(at))
    local char = text:sub(at, at)
    if char == close then
      return at + 1
    end
    assert(char == ",", "expected , or " .. close)
    at = skip(text, at + 1)
  end
end


local function object_at(text, at)
  local object = {}
  return object, members_at(text, at, "}", function(from)
    assert(text:sub(from, from) == '"', "expected a key")
    local key, after = string_at(text, from)
    after = skip(text, after)
    assert(text:sub(after, after) == ":", "expected :")
    object[key], after = value_at(text, skip(text, after + 1))
    return after
  end)
end


local function array_at(text, at)
  local array = {}
  return array, members_at(text, at, "]", function(from)
    local value, after = value_at(text, from)
    array[#array + 1] = value
    return after
  end)
end


function value_at(text, at)
  local char = text:sub(at, at)
  if char == "{" then
    return object_at(text, at)
  elseif char == "[" then
    return array_at(text, at)
  elseif char == '"' then
    return string_at(text, at)
  end
  local word, after = text:match("^([%w.+-]+)()", at)
  assert(word, "expected a value")
  if LITERALS[word] ~= nil then
    return LITERALS[word], after
  end
  return assert(tonumber(word), "unknown literal"), after
end


M.decoded = 0


function M.decode(text)
  M.decoded = M.decoded + 1
  local ok, value, after = pcall(value_at, text, skip(text, 1))
  if not ok then
    return nil, value
  elseif skip(text, after) <= #text then
    return nil, "trailing text"
  end
  return value
end


return M
