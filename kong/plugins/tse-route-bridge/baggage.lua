-- Changes single members of the W3C baggage (https://www.w3.org/TR/baggage/), as the filter does on Envoy.

local ipairs = ipairs
local string = string
local table = table
local tonumber = tonumber
local type = type


local M = {}


-- How much a baggage may have (W3C Baggage, section 3.3.2).
local MAX_MEMBERS, MAX_BYTES = 64, 8192


-- Reads what the filter asks for: `set`, members as they stand in the header, and `keys`, under which a
-- client's go. Returns nil where that is nothing.
function M.read(sent)
  if type(sent) ~= "table" or type(sent.keys) ~= "table" then
    return
  end

  local change = { members = {}, keys = {} }
  local any = false
  for _, key in ipairs(sent.keys) do
    if type(key) == "string" then
      change.keys[key] = true
      any = true
    end
  end
  for _, member in ipairs(type(sent.set) == "table" and sent.set or {}) do
    if type(member) == "string" then
      change.members[#change.members + 1] = member
    end
  end
  return any and change or nil
end


local function unescaped(hex)
  return string.char(tonumber(hex, 16))
end


-- Each blank is looked at once or twice, however many there are.
local function trimmed(text)
  local from = text:find("%S")
  if not from then
    return ""
  end
  local to = #text
  while text:find("^%s", to) do
    to = to - 1
  end
  return text:sub(from, to)
end


-- A key has no escapes, and some libraries decode it all the same, as a form: whoever may take the member
-- for one of these keys is not to find it.
local function goes(keys, member)
  local key = trimmed(member:match("^[^=;]*"))
  if keys[key] then
    return true
  end
  if not key:find("[%%+]") then
    return false
  end
  local decoded = key:gsub("+", " "):gsub("%%(%x%x)", unescaped)
  return keys[trimmed(decoded)] or false
end


-- `sent` is the list of the baggage headers. Returns the one that takes their place, nil for none; and
-- whether anything is to change.
--
-- What is set stands first. The members of other keys follow as they came. Nobody has to pass on more than a
-- baggage may have: only so many members of the client's are looked at, and one that does not fit is left out
-- as a whole.
function M.apply(change, sent)
  local members, keys = {}, change.keys
  local size, looked_at = -1, 0
  for _, member in ipairs(change.members) do
    members[#members + 1] = member
    size = size + #member + 1
  end

  local is_changed = #members > 0
  for _, header in ipairs(sent) do
    -- What stands between commas, unless it is blank.
    for part in header:gmatch("[^,%s][^,]*") do
      if looked_at == MAX_MEMBERS then
        return members[1] and table.concat(members, ","), true
      end
      looked_at = looked_at + 1
      local member = trimmed(part)
      if goes(keys, member) then
        is_changed = true
      elseif #members < MAX_MEMBERS and size + 1 + #member <= MAX_BYTES then
        members[#members + 1] = member
        size = size + 1 + #member
      end
    end
  end
  return members[1] and table.concat(members, ","), is_changed
end


return M
