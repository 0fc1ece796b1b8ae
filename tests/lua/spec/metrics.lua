-- The log phase and the registry of Kong's Prometheus plugin.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local LABELS = 'service="shop",route="shop-route"'


local function new_gateway(options)
  options = options or { prometheus = true }
  local gateway = Gateway.started(options)
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  gateway.plan_of_test = gateway:plan(message.config({ "canary", "nowhere" }))
  return gateway
end


-- fields: of a decision; nil: nothing matched
local function serve(gateway, fields, options)
  local plan = gateway.plan_of_test
  local of_request = options and options.request or {}
  of_request.plan = plan
  local request = gateway:request(of_request)
  if fields then
    request:decide(message.of(plan, fields))
  end
  request:finish(options)
end


return {
  { "names and kinds", function()
    local registry = new_gateway().registry
    check.equal(registry.kinds, {
      tse_route_requests_total = "counter",
      tse_route_responses_total = "counter",
      tse_route_upstream_latency_ms = "histogram",
      tse_route_errors_total = "counter",
      tse_route_unmatched_total = "counter",
      tse_route_bridge_info = "gauge",
    })
    for name in pairs(registry.kinds) do
      check.truthy(registry.help[name], "help of " .. name)
    end
    local buckets = registry.buckets.tse_route_upstream_latency_ms
    for i = 2, #buckets do
      check.truthy(buckets[i] > buckets[i - 1], "rising buckets")
    end
  end },

  { "the bridge shows itself with the first request, whatever became of it", function()
    local gateway = new_gateway()
    check.equal(gateway.registry.gauges, {})
    serve(gateway, nil)
    check.equal(gateway.registry.gauges, {
      ['kong_tse_route_bridge_info{version="' .. gateway.handler.VERSION .. '"}'] = 1,
    })
  end },

  { "a routed request", function()
    local gateway = new_gateway()
    serve(gateway, { rule = "22", upstream = "canary" }, { status = 204, waited = 37 })
    serve(gateway, { rule = "22", upstream = "canary" }, { status = 503, waited = 0 })
    local labels = 'rule="22",upstream="canary",service="shop",route="shop-route"'
    check.equal(gateway.registry.series, {
      ["kong_tse_route_requests_total{" .. labels .. "}"] = 2,
      ["kong_tse_route_responses_total{" .. labels .. ',class="2xx"}'] = 1,
      ["kong_tse_route_responses_total{" .. labels .. ',class="5xx"}'] = 1,
      ["kong_tse_route_upstream_latency_ms{" .. labels .. "}"] = { 37, 0 },
    })
  end },

  { "the service's own upstream", function()
    local gateway = new_gateway()
    serve(gateway, { rule = "22" }, { status = 404 })
    local labels = 'rule="22",upstream="(own)",service="shop",route="shop-route"'
    check.equal(gateway.registry.series["kong_tse_route_requests_total{" .. labels .. "}"], 1)
    check.equal(gateway.registry.series["kong_tse_route_responses_total{" .. labels
                                        .. ',class="4xx"}'], 1)
  end },

  { "services and routes without names are labelled as Kong's own metrics do", function()
    local gateway = new_gateway()
    serve(gateway, { rule = "22", upstream = "canary" }, {
      request = { service = { host = "stable", port = 80 }, route = { id = "route-id" } },
    })
    check.equal(gateway.registry.series['kong_tse_route_requests_total{rule="22",upstream="canary",'
                                        .. 'service="stable",route="route-id"}'], 1)
  end },

  { "an error counts, and the request counts where it was served", function()
    local gateway = new_gateway()
    serve(gateway, { rule = "22", upstream = "nowhere" })
    check.equal(gateway.registry.series['kong_tse_route_errors_total{reason="unknown-upstream"}'], 1)
    check.equal(gateway.registry.series['kong_tse_route_requests_total{rule="22",upstream="(own)",'
                                        .. 'service="shop",route="shop-route"}'], 1)
  end },

  { "an error that the filter reports counts alone", function()
    local gateway = new_gateway()
    serve(gateway, { error = "invalid-config" })
    check.equal(gateway.registry.series, {
      ['kong_tse_route_errors_total{reason="invalid-config"}'] = 1,
    })
  end },

  { "the reasons of errors are a fixed set of words", function()
    for _, reason in ipairs({ "unknown-upstream", "no-healthy-target", "bridge-failure",
                              "invalid-config", "host-failure", "body-unreadable", "body-unparsable",
                              "response-buffering" })
    do
      local gateway = new_gateway()
      serve(gateway, { error = reason })
      check.equal(gateway.registry.series, {
        ['kong_tse_route_errors_total{reason="' .. reason .. '"}'] = 1,
      })
    end
  end },

  { "requests that no rule matches", function()
    local gateway = new_gateway()
    serve(gateway, nil)
    serve(gateway, nil, { status = 502, by_nginx = true })
    local plan = gateway.plan_of_test
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    request:decide(message.none(plan))
    request:finish()
    check.equal(gateway.registry.series, {
      ["kong_tse_route_unmatched_total{" .. LABELS .. "}"] = 3,
    })
  end },

  { "requests of chains without the filter count nothing", function()
    local gateway = new_gateway()
    gateway:request():finish()
    gateway:request({ plan = gateway:plan({ name = "other", config = "{}" }) }):finish()
    check.equal(gateway.registry.series, {})
  end },

  { "an answer of the gateway before the balancer is no unmatched request", function()
    local gateway = new_gateway()
    local request = gateway:request({ plan = gateway.plan_of_test })
    request.status = 503
    request:run("header_filter")
    request:run("log")
    check.equal(gateway.registry.series, {})
  end },

  { "unknown upstreams and unknown errors make no series of their own", function()
    local gateway = new_gateway()
    for i = 1, 500 do
      serve(gateway, { rule = "22", upstream = "nowhere-" .. i })
      serve(gateway, { error = "error-" .. i })
    end
    -- requests, responses and latency of one rule, and two reasons
    check.equal(gateway.registry:size(), 5)
    check.equal(gateway.registry.series['kong_tse_route_errors_total{reason="unknown-upstream"}'], 500)
    check.equal(gateway.registry.series['kong_tse_route_errors_total{reason="other"}'], 500)
  end },

  { "an answer that Kong makes itself has no latency", function()
    local gateway = new_gateway()
    serve(gateway, { rule = "22", upstream = "canary" }, { status = 502, by_nginx = true, waited = 1 })
    local labels = 'rule="22",upstream="canary",service="shop",route="shop-route"'
    check.equal(gateway.registry.series, {
      ["kong_tse_route_requests_total{" .. labels .. "}"] = 1,
      ["kong_tse_route_responses_total{" .. labels .. ',class="5xx"}'] = 1,
    })
  end },

  { "a status that is none has a class of its own", function()
    local gateway = new_gateway()
    serve(gateway, { rule = "22", upstream = "canary" }, { status = 0 })
    check.equal(gateway.registry.series['kong_tse_route_responses_total{rule="22",upstream="canary",'
                                        .. 'service="shop",route="shop-route",class="none"}'], 1)
  end },

  { "an instance that says so counts nothing, and any other is harmless", function()
    local gateway = new_gateway()
    serve(gateway, { rule = "22", upstream = "canary" }, { instance = { prometheus = false } })
    check.equal(gateway.registry.series, {})
    serve(gateway, nil, { instance = { prometheus = true } })
    check.equal(gateway.registry:size(), 1)
  end },

  { "without the Prometheus plugin nothing fails and nothing is logged", function()
    local gateway = new_gateway({})
    serve(gateway, { rule = "22", upstream = "canary" })
    serve(gateway, { error = "invalid-config" })
    check.equal(gateway.log, {})
  end },

  { "without the plugin its exporter is not even loaded", function()
    local gateway = Gateway.new()
    package.loaded["kong.plugins.prometheus.exporter"] = {
      get_prometheus = function()
        error("asked")
      end,
    }
    gateway.handler:init_worker()
    check.equal(gateway.log, {})
  end },

  { "an exporter that is not ready, or differs, only costs the numbers", function()
    for _, exporter in ipairs({ { get_prometheus = function() end }, {}, true }) do
      local gateway = Gateway.new({ prometheus = true })
      package.loaded["kong.plugins.prometheus.exporter"] = exporter
      gateway.handler:init_worker()
      gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
      gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
      gateway.phase, gateway.plan_of_test = nil, gateway:plan(message.config({ "canary" }))
      serve(gateway, { rule = "22", upstream = "canary" })
      check.equal(gateway.log, {})
    end
  end },

  { "a registry that throws is logged, and switching works", function()
    local gateway = Gateway.new({ prometheus = true })
    gateway.registry.counter = function()
      error("registry is full")
    end
    gateway.handler:init_worker()
    check.contains(gateway.log[1], "tse-route-bridge does not count: ")
    check.contains(gateway.log[1], "registry is full")
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
    gateway.plan_of_test = gateway:plan(message.config({ "canary" }))
    serve(gateway, { rule = "22", upstream = "canary" })
  end },

  { "a registry that refuses a metric only costs the numbers", function()
    local gateway = Gateway.new({ prometheus = true })
    gateway.registry.counter = function() end
    gateway.handler:init_worker()
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
    gateway.plan_of_test = gateway:plan(message.config({ "nowhere" }))
    serve(gateway, { error = "invalid-config" })
    serve(gateway, { rule = "22", upstream = "nowhere" })
    serve(gateway, nil)
    check.equal(gateway.registry.series, {})
  end },
}
