-- Comparisons for tests.

local check = {}


local function show(value)
  if type(value) ~= "table" then
    return type(value) == "string" and string.format("%q", value) or tostring(value)
  end
  local parts = {}
  for key, item in pairs(value) do
    parts[#parts + 1] = tostring(key) .. " = " .. show(item)
  end
  table.sort(parts)
  return "{ " .. table.concat(parts, ", ") .. " }"
end


local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end


function check.equal(found, expected, what)
  if not same(found, expected) then
    error((what or "value") .. ": expected " .. show(expected) .. ", found " .. show(found), 2)
  end
end


function check.contains(text, part)
  if type(text) ~= "string" or not text:find(part, 1, true) then
    error("expected " .. show(text) .. " to contain " .. show(part), 2)
  end
end


function check.truthy(value, what)
  if not value then
    error((what or "value") .. ": expected something, found " .. show(value), 2)
  end
end


return check
