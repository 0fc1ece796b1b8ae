-- The bridge between the WebAssembly filter tse-route and Kong's balancer.
--
-- Kong 3.8 and 3.9 run their balancer before the filter sees the request, so a filter alone cannot
-- choose the Upstream. This plugin adds properties that the filter sets and reads (route.lua) and
-- that run the balancer once more (peer.lua).
--
-- Switching takes no configured instance: being named in KONG_PLUGINS is enough, because
-- `init_worker` runs for every plugin that is loaded. The other two phases run only where an
-- instance is configured, for example globally: `log` counts and tells the filter of dead upstreams,
-- `header_filter` protects the response headers from an upstream that sends the same ones.

local internals = require "kong.plugins.tse-route-bridge.internals"
local metrics = require "kong.plugins.tse-route-bridge.metrics"
local route = require "kong.plugins.tse-route-bridge.route"


local kong = kong
local ngx = ngx
local pcall = pcall


local Bridge = {
  -- Before response-transformer (800), which keeps the last word on response headers.
  PRIORITY = 850,
  VERSION = "0.1.0",
}


local function start()
  local modules, fault = internals.load(kong.version)
  if not modules then
    -- Nothing is registered: the filter gets no answer, serves the service's own upstream and
    -- reports `bridge-missing`.
    kong.log.err("tse-route-bridge does not start: ", fault)
    return
  end

  route.register(modules)

  local registered, err = pcall(metrics.register, Bridge.VERSION)
  if not registered then
    kong.log.err("tse-route-bridge does not count: ", err)
  end
end


function Bridge.init_worker()
  -- Filters exist in the http subsystem only, and a control plane proxies nothing.
  if ngx.config.subsystem ~= "http" or kong.configuration.role == "control_plane" then
    return
  end

  -- An error here would be Kong's trouble at every start; the bridge alone is to stay away.
  local ok, err = pcall(start)
  if not ok then
    kong.log.err("tse-route-bridge does not start: ", err)
  end
end


function Bridge.header_filter()
  route.show_again(ngx.ctx)
end


function Bridge.log(_, conf)
  route.note_outage(ngx.ctx)
  if conf.prometheus then
    metrics.count(ngx.ctx, route.outcome(ngx.ctx))
  end
end


return Bridge
