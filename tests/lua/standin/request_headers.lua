-- Stands in for the request headers that nginx keeps: a list in which names can repeat. Lua reaches
-- every copy. What a filter removes is only hidden: variables and Lua do not see it any more, and nginx
-- still sends it to the upstream.

local M = {}


local Headers = {}
Headers.__index = Headers


-- list: pairs of name and value, as the client sent them
function M.new(list)
  local entries = {}
  for _, pair in ipairs(list or {}) do
    entries[#entries + 1] = { pair[1], pair[2] }
  end
  return setmetatable({ entries = entries }, Headers)
end


local function same(a, b)
  return a:lower() == b:lower()
end


function Headers:clear(name)
  for i = #self.entries, 1, -1 do
    local entry = self.entries[i]
    if not entry.hidden and same(entry[1], name) then
      table.remove(self.entries, i)
    end
  end
end


function Headers:set(name, value)
  self:clear(name)
  for _, one in ipairs(type(value) == "table" and value or { value }) do
    self:add(name, one)
  end
end


function Headers:add(name, value)
  self.entries[#self.entries + 1] = { name, value }
end


-- A filter's `replace`: the first copy gets the value, the others are hidden.
function Headers:replace_by_filter(name, value)
  local placed = false
  for _, entry in ipairs(self.entries) do
    if not entry.hidden and same(entry[1], name) then
      if placed then
        entry.hidden = true
      end
      entry[2], placed = placed and entry[2] or value, true
    end
  end
  if not placed then
    self:add(name, value)
  end
end


function Headers:remove_by_filter(name)
  for _, entry in ipairs(self.entries) do
    if same(entry[1], name) then
      entry.hidden = true
    end
  end
end


-- What `$http_<suffix>` holds: all copies in every form that differs in case, or in `_` for `-`.
function Headers:variable(suffix)
  local values = {}
  for _, entry in ipairs(self.entries) do
    if not entry.hidden and entry[1]:lower():gsub("-", "_") == suffix then
      values[#values + 1] = entry[2]
    end
  end
  return values[1] and table.concat(values, ", ")
end


-- ngx.req.get_headers(0, true); with `in_lower_case` ngx.req.get_headers(0)
function Headers:by_name(in_lower_case)
  local all = {}
  for _, entry in ipairs(self.entries) do
    local name, value = in_lower_case and entry[1]:lower() or entry[1], entry[2]
    if not entry.hidden then
      if all[name] == nil then
        all[name] = value
      elseif type(all[name]) == "table" then
        table.insert(all[name], value)
      else
        all[name] = { all[name], value }
      end
    end
  end
  return all
end


-- What nginx writes for the upstream: hidden ones too. All values of a name, in lower case, joined.
function Headers:written()
  local all = {}
  for _, entry in ipairs(self.entries) do
    local name = entry[1]:lower()
    all[name] = all[name] and all[name] .. ", " .. entry[2] or entry[2]
  end
  return all
end


return M
