-- Stands in for ngx.header: response headers as nginx keeps them, a list in which names can repeat.
-- Setting one through Lua leaves exactly one; what an upstream sends is appended.

local M = {}


function M.new()
  local list = {}
  local header = setmetatable({}, {
    __index = function(_, name)
      for _, entry in ipairs(list) do
        if entry[1]:lower() == name:lower() then
          return entry[2]
        end
      end
    end,
    __newindex = function(_, name, value)
      local kept, placed = {}, value == nil
      for _, entry in ipairs(list) do
        if entry[1]:lower() ~= name:lower() then
          kept[#kept + 1] = entry
        elseif not placed then
          kept[#kept + 1], placed = { name, value }, true
        end
      end
      if not placed then
        kept[#kept + 1] = { name, value }
      end
      list = kept
    end,
  })

  local function append(name, value)
    list[#list + 1] = { name, value }
  end

  -- All values of each header, joined as a client would read them.
  local function seen()
    local all = {}
    for _, entry in ipairs(list) do
      local name = entry[1]
      all[name] = all[name] and all[name] .. ", " .. entry[2] or entry[2]
    end
    return all
  end

  return header, append, seen
end


return M
