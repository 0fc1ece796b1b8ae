-- The value that an Upstream balances by, as Kong computes it for a service's own Upstream in
-- kong/runloop/balancer/init.lua, where it is local. Nothing here yields.

local ngx = ngx
local kong = kong
local sort = table.sort
local concat = table.concat
local tostring = tostring
local type = type


local M = {}


local MAX_ARGS = 100   -- Kong's default of lua_max_uri_args

local new_uuid


function M.init(modules)
  new_uuid = modules.uuid.uuid
end


local function query_argument(name)
  local limit = kong.configuration.lua_max_uri_args or MAX_ARGS
  local value = ngx.req.get_uri_args(limit)[name]
  if type(value) == "table" then
    for i = 1, #value do
      value[i] = tostring(value[i])
    end
    sort(value)
    return concat(value, ",")
  elseif value ~= nil then
    return tostring(value)
  end
end


-- Each returns the value, or nil where the request has none.
local SOURCES = {
  consumer = function(_, ctx)
    local consumer, credential = ctx.authenticated_consumer, ctx.authenticated_credential
    return consumer and consumer.id or credential and credential.id
  end,

  ip = function()
    return ngx.var.remote_addr
  end,

  header = function(upstream, _, prefix)
    return ngx.var["http_" .. upstream[prefix .. "_header"]:gsub("-", "_"):lower()]
  end,

  path = function()
    return ngx.var.uri
  end,

  query_arg = function(upstream, _, prefix)
    return query_argument(upstream[prefix .. "_query_arg"])
  end,

  uri_capture = function(upstream, ctx, prefix)
    local captures = ctx.router_matches and ctx.router_matches.uri_captures
    return captures and captures[upstream[prefix .. "_uri_capture"]]
  end,
}


-- Returns the value to hash, "" where there is none, and the cookie to issue, if there is one.
function M.value(upstream, ctx)
  local source, prefix = upstream.hash_on, "hash_on"
  for _ = 1, 2 do
    -- Also nil and JSON's null stand for none.
    if type(source) ~= "string" or source == "none" then
      return ""
    end

    if source == "cookie" then
      local value = ngx.var["cookie_" .. upstream.hash_on_cookie]
      if value then
        return value
      end
      value = new_uuid()
      return value, { key = upstream.hash_on_cookie, value = value, path = upstream.hash_on_cookie_path }
    end

    local read = SOURCES[source]
    local value = read and read(upstream, ctx, prefix)
    if value then
      return value
    end
    source, prefix = upstream.hash_fallback, "hash_fallback"
  end
  return ""
end


return M
