-- Counts routed requests in the registry of Kong's Prometheus plugin.
--
-- The registry puts `kong_` before every name when it prints: `/metrics` shows
-- `kong_tse_route_requests_total` and so on. It prints them while the Prometheus plugin is configured
-- somewhere, for example globally.
--
-- Labels are bounded by the configuration: a rule goes by its name, or else by its weight; rules and services and routes are configured, an Upstream
-- becomes a label when a request was really sent to it, and errors are a fixed set of words.
--
-- There is no `tse_route_unmatched_total`: an unmatched request makes no call to the bridge, which
-- does not know which services have the filter either. It is, for a service or a route that has,
-- `kong_http_requests_total` less `kong_tse_route_requests_total`.

local kong = kong
local ngx = ngx
local floor = math.floor
local pcall = pcall
local require = require
local type = type


local M = {}


-- The label of the service's own upstream. No Upstream can have this name.
local OWN = "(own)"

local BUCKETS = { 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000 }

local REASONS = {
  ["unknown-upstream"] = true,
  ["no-healthy-target"] = true,
  ["bridge-failure"] = true,
  ["invalid-config"] = true,
  ["host-failure"] = true,
  ["body-unreadable"] = true,
  ["body-unparsable"] = true,
}

local requests, responses, latency, errors, info
local version, told


-- Asking the exporter without the plugin would make it log an error.
local function registry()
  if not kong.configuration.loaded_plugins.prometheus then
    return
  end
  local found, exporter = pcall(require, "kong.plugins.prometheus.exporter")
  if found and type(exporter) == "table" and type(exporter.get_prometheus) == "function" then
    return exporter.get_prometheus()
  end
end


function M.register(version_of_bridge)
  local prometheus = registry()
  if not prometheus then
    return
  end

  version, told = version_of_bridge, false
  info = prometheus:gauge("tse_route_bridge_info",
    "1 where the bridge plugin of tse-route runs",
    { "version" })

  requests = prometheus:counter("tse_route_requests_total",
    "Requests for which a rule of tse-route matched, by where they went",
    { "rule", "upstream", "service", "route" })
  responses = prometheus:counter("tse_route_responses_total",
    "Their responses, by class of status code",
    { "rule", "upstream", "service", "route", "class" })
  latency = prometheus:histogram("tse_route_upstream_latency_ms",
    "Time until the upstream began to answer, in milliseconds",
    { "rule", "upstream", "service", "route" }, BUCKETS)
  errors = prometheus:counter("tse_route_errors_total",
    "Requests that did not go where tse-route decided, or for which it could not decide",
    { "reason" })
end


local function class_of(status)
  if status and status >= 100 and status < 600 then
    return floor(status / 100) .. "xx"
  end
  return "none"
end


-- `outcome` as route.lua gives it.
function M.count(ctx, outcome)
  -- Here rather than when the worker starts: the registry starts after this plugin.
  if info and not told then
    info:set(1, { version })
    told = true
  end

  if not outcome then
    return
  end

  local reason = outcome.error
  if errors and reason then
    errors:inc(1, { REASONS[reason] and reason or "other" })
  end

  local rule = outcome.name or outcome.rule
  if not rule or not (requests and responses and latency) then
    return
  end

  local upstream = outcome.upstream or OWN
  -- As Kong's own metrics name them.
  local service, route = ctx.service or {}, ctx.route or {}
  local service_name = service.name or service.host or ""
  local route_name = route.name or route.id or ""

  requests:inc(1, { rule, upstream, service_name, route_name })
  responses:inc(1, { rule, upstream, service_name, route_name, class_of(ngx.status) })

  -- An answer that Kong made itself, such as for a refused connection, says nothing about latency.
  local waited = ctx.KONG_WAITING_TIME
  if waited and waited >= 0 and kong.response.get_source() == "service" then
    latency:observe(waited, { rule, upstream, service_name, route_name })
  end
end


return M
