-- The bridge between the WebAssembly filter tse-route and Kong's balancer.
--
-- Kong runs its balancer before the filter sees the request, so a filter alone cannot choose the
-- Upstream. A filter may not ask Lua to do it either: Lua that runs inside a call of a filter kills the
-- worker. So the filter sends its decision in a request header, and the bridge follows it in Kong's
-- balancer phase, when the filter's call is over (route.lua).
--
-- It takes no configured instance: being named in KONG_PLUGINS is enough. nginx.conf calls the global
-- functions `Kong.access` and so on by name, for every request, and `init_worker`, which runs for every
-- plugin that is loaded, wraps them. An instance does nothing but switch the metrics off where it says
-- `prometheus: false`.

local chains = require "kong.plugins.tse-route-bridge.chains"
local client_certificates = require "kong.plugins.tse-route-bridge.client_certificates"
local configuration = require "kong.plugins.tse-route-bridge.configuration"
local hashing = require "kong.plugins.tse-route-bridge.hashing"
local internals = require "kong.plugins.tse-route-bridge.internals"
local metrics = require "kong.plugins.tse-route-bridge.metrics"
local request_headers = require "kong.plugins.tse-route-bridge.request_headers"
local route = require "kong.plugins.tse-route-bridge.route"
local upstreams = require "kong.plugins.tse-route-bridge.upstreams"
local validation = require "kong.plugins.tse-route-bridge.validation"

local ffi = require "ffi"


local kong = kong
local ngx = ngx
local pcall = pcall


local Bridge = {
  PRIORITY = 850,
  VERSION = "0.2.0",
}


local function wrap(phases)
  local access, balancer = phases.access, phases.balancer
  local header_filter, log = phases.header_filter, phases.log

  function phases.access()
    route.enter()
    access()
    route.accessed(ngx.ctx)
  end

  function phases.balancer()
    local ctx = ngx.ctx
    local status = route.balance(ctx)
    if status then
      return ngx.exit(status)
    end
    balancer()
    route.balanced(ctx)
  end

  -- Before the plugins, so that response-transformer keeps the last word.
  function phases.header_filter()
    route.show(ngx.ctx)
    return header_filter()
  end

  -- Before Kong's own, which takes the context back.
  function phases.log()
    route.finish(ngx.ctx)
    return log()
  end
end


local function start()
  -- The Admin API may run where no filter does.
  validation.relax(kong.db and kong.db.plugins and kong.db.plugins.schema, configuration.FILTER)

  -- A control plane proxies nothing.
  if kong.configuration.role == "control_plane" then
    return
  end

  local phases = _G.Kong
  local modules, fault = internals.load(kong.version, phases)
  if not modules then
    -- Nothing is wrapped: the filter is not told of a bridge, serves the service's own upstream and
    -- reports `bridge-missing`.
    kong.log.err("tse-route-bridge does not start: ", fault)
    return
  end

  client_certificates.init(modules)
  configuration.init(modules)
  hashing.init(modules)
  request_headers.init(modules)
  route.init(modules)
  upstreams.init(modules)

  wrap(phases)
  -- Last, because it tells the filter that the rest is there.
  chains.wrap(modules.proxy_wasm, ffi, route.attach)

  local registered, err = pcall(metrics.register, Bridge.VERSION)
  if not registered then
    kong.log.err("tse-route-bridge does not count: ", err)
  end
end


-- Kong builds the first filter chains after this.
function Bridge.init_worker()
  -- Filters exist in the http subsystem only.
  if ngx.config.subsystem ~= "http" then
    return
  end

  -- An error here would be Kong's trouble at every start; the bridge alone is to stay away.
  local ok, err = pcall(start)
  if not ok then
    kong.log.err("tse-route-bridge does not start: ", err)
  end
end


function Bridge.header_filter(_, conf)
  if not conf.prometheus then
    route.do_not_count(ngx.ctx)
  end
end


return Bridge
