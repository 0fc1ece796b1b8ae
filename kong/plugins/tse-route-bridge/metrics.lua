-- Counts routed requests in the registry of Kong's Prometheus plugin.
--
-- The registry puts `kong_` before every name when it prints: `/metrics` shows
-- `kong_tse_route_requests_total` and so on. It prints them while the Prometheus plugin is configured
-- somewhere, for example globally.
--
-- Labels are bounded by the configuration: a rule goes by its name, or else by its weight; rules and services and routes are configured, an Upstream
-- becomes a label when a request was really sent to it, and errors are a fixed set of words.
--
-- A request counts where a chain with the filter is attached and the balancer has run: as routed where
-- a rule matched, else as unmatched.

local kong = kong
local ngx = ngx
local floor = math.floor
local ipairs = ipairs
local pcall = pcall
local require = require
local setmetatable = setmetatable
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
  ["response-buffering"] = true,
}

local requests, responses, latency, errors, unmatched, info
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
  unmatched = prometheus:counter("tse_route_unmatched_total",
    "Requests for which no rule of tse-route matched",
    { "service", "route" })
end


local CLASSES = { "1xx", "2xx", "3xx", "4xx", "5xx", "none" }

local function class_of(status)
  if status and status >= 100 and status < 600 then
    return CLASSES[floor(status / 100)]
  end
  return "none"
end


-- Labels as Kong's own metrics name them.
local function names_of(ctx)
  local service, route = ctx.service or {}, ctx.route or {}
  return service.name or service.host or "", route.name or route.id or ""
end


-- The labels of an outcome on a route: made once, since every request needs them.
local labels_of_outcomes = setmetatable({}, { __mode = "k" })

-- By class of the status; `all` are those without a class.
local function labels_of(ctx, outcome, rule)
  local of_outcome = labels_of_outcomes[outcome]
  if not of_outcome then
    of_outcome = setmetatable({}, { __mode = "k" })
    labels_of_outcomes[outcome] = of_outcome
  end

  local route = ctx.route or outcome
  local labels = of_outcome[route]
  if not labels then
    local service_name, route_name = names_of(ctx)
    local upstream = outcome.upstream or OWN
    labels = { all = { rule, upstream, service_name, route_name } }
    for _, class in ipairs(CLASSES) do
      labels[class] = { rule, upstream, service_name, route_name, class }
    end
    of_outcome[route] = labels
  end
  return labels
end


local function count_unmatched(ctx)
  local data = ctx.balancer_data
  if unmatched and data and data.try_count > 0 then
    unmatched:inc(1, { names_of(ctx) })
  end
end


-- `outcome` as decision.lua gives it; nil where nothing matched.
function M.count(ctx, outcome)
  -- Here rather than when the worker starts: the registry starts after this plugin.
  if info and not told then
    info:set(1, { version })
    told = true
  end

  if not outcome then
    return count_unmatched(ctx)
  end

  local reason = outcome.error
  if errors and reason then
    errors:inc(1, { REASONS[reason] and reason or "other" })
  end

  local rule = outcome.name or outcome.rule
  if not rule or not (requests and responses and latency) then
    return
  end

  local labels = labels_of(ctx, outcome, rule)
  requests:inc(1, labels.all)
  responses:inc(1, labels[class_of(ngx.status)])
  -- An answer that Kong made itself, such as for a refused connection, says nothing about latency.
  local waited = ctx.KONG_WAITING_TIME
  if waited and waited >= 0 and ctx.KONG_PROXIED and not ctx.KONG_UNEXPECTED then
    latency:observe(waited, labels.all)
  end
end


return M
