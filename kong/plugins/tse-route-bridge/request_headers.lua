-- Request headers: those that only the gateway may set, and the changes of a decision.
--
-- A filter alone can neither remove a header nor guard one: what it removes, nginx still sends to the
-- upstream, and what it replaces stays in further copies. Lua reaches every copy.

local baggage = require "kong.plugins.tse-route-bridge.baggage"


local ngx = ngx
local ipairs = ipairs
local pairs = pairs
local type = type


local M = {}


local add_header


function M.init(modules)
  add_header = modules.ngx_request.add_header
end


-- The variable of nginx that holds a request header. It also holds one that has `_` for `-`, which
-- Kong lets through.
function M.variable_of(name)
  return "http_" .. name:lower():gsub("-", "_")
end


-- Takes a header away, in every copy and every form: with `_` in place of `-`, in any case. Costs a
-- look at one variable where there is none.
function M.clear(name, variable)
  if ngx.var[variable] == nil then
    return
  end

  local canonical = name:lower():gsub("_", "-")
  for sent in pairs(ngx.req.get_headers(0, true)) do
    if sent:lower():gsub("_", "-") == canonical then
      ngx.req.clear_header(sent)
    end
  end
end


-- Lua sees every copy; nginx's variable has them all since 1.23 only.
local function change_baggage(change)
  local sent = ngx.var.http_baggage and ngx.req.get_headers(0).baggage
  local header, is_changed = baggage.apply(change, type(sent) == "table" and sent or { sent })
  if not is_changed then
    return
  end
  if header then
    ngx.req.set_header("baggage", header)
  else
    ngx.req.clear_header("baggage")
  end
end


-- First what is removed, then what is set, then what is added, then the baggage.
function M.change(changes)
  local clear_header, set_header, var = ngx.req.clear_header, ngx.req.set_header, ngx.var
  for _, one in ipairs(changes.remove) do
    clear_header(one.name)
    if one.variable then
      var[one.variable] = ""
    end
  end
  for _, one in ipairs(changes.set) do
    set_header(one.name, one.value)
    if one.variable then
      var[one.variable] = one.value
    end
  end
  for _, one in ipairs(changes.add) do
    local present = one.variable and var[one.variable]
    if one.variable then
      var[one.variable] = present and present ~= "" and present .. ", " .. one.value or one.value
    else
      add_header(one.name, one.value)
    end
  end
  if changes.baggage then
    change_baggage(changes.baggage)
  end
end


return M
