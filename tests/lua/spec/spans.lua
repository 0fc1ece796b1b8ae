-- The attributes of the root span, as Kong's OpenTelemetry plugin exports it.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local function new_gateway(options)
  local gateway = Gateway.started(options or { tracing = true })
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  gateway.plan_of_test = gateway:plan(message.config({ "canary", "nowhere" }))
  return gateway
end


-- fields: of a decision; nil: nothing matched
local function serve(gateway, fields, options)
  local request = gateway:request({ plan = gateway.plan_of_test })
  if fields then
    request:decide(message.of(gateway.plan_of_test, fields))
  end
  return request:finish(options)
end


-- The attributes of the span that is exported for a decision.
local function exported(fields, options)
  local gateway = new_gateway()
  serve(gateway, fields, options)
  check.equal(#gateway.exported, 1)
  return gateway.exported[1]
end


local CANARY = { ["tse_route.rule"] = "22", ["tse_route.upstream"] = "canary" }


return {
  { "a switch", function()
    check.equal(exported({ rule = "22", upstream = "canary", name = "beta users" }), {
      ["tse_route.rule"] = "22", ["tse_route.upstream"] = "canary", ["tse_route.name"] = "beta users",
    })
  end },

  { "the service's own upstream has no name", function()
    check.equal(exported({ rule = "22" }), { ["tse_route.rule"] = "22" })
  end },

  { "a request that no rule matches has none of it", function()
    check.equal(exported(nil), {})
  end },

  { "a decision that was not followed says why, and names no upstream", function()
    check.equal(exported({ rule = "22", upstream = "nowhere" }), {
      ["tse_route.rule"] = "22", ["tse_route.error"] = "unknown-upstream",
    })
    check.equal(exported({ error = "invalid-config" }), { ["tse_route.error"] = "invalid-config" })
  end },

  { "a request that fails, in whatever way", function()
    local decision = { rule = "22", upstream = "canary" }
    check.equal(exported(decision, { status = 503 }), CANARY)
    check.equal(exported(decision, { status = 502, by_nginx = true, refused = 5 }), CANARY)
    check.equal(exported(decision, { status = 499, unanswered = true }), CANARY)
  end },

  { "share: false keeps it from spans too", function()
    check.equal(exported({ rule = "22", upstream = "canary", share = false }), {})
  end },

  { "a trace that is not sampled is left alone", function()
    local gateway = new_gateway()
    local request = gateway:request({ plan = gateway.plan_of_test })
    request:decide(message.route(gateway.plan_of_test, "22", "canary"))
    local span = request.ctx.KONG_SPANS[1]
    span.should_sample = false
    span.set_attribute = function()
      error("asked")
    end
    request:finish()
    check.equal({ gateway.exported, gateway.log }, { {}, {} })
  end },

  { "without tracing there is nothing to do", function()
    local gateway = new_gateway({})
    local request = serve(gateway, { rule = "22", upstream = "canary" })
    check.equal(request:destination(), "10.0.0.2:80 10.0.0.2")
    check.equal({ gateway.exported, gateway.log }, { {}, {} })
  end },

  { "a tracer that fails fails neither the request nor its metrics", function()
    local gateway = new_gateway({ tracing = true, prometheus = true })
    gateway.set_attribute_throws = "no tracer"
    local request = serve(gateway, { rule = "22", upstream = "canary" })
    check.equal(request.seen_headers()["X-Kong-Route-Upstream"], "canary")
    check.equal(gateway:pool("canary").connections(), 0)
    check.contains(gateway.log[1], "no tracer")
    local label = '{rule="22",upstream="canary",service="shop",route="shop-route"}'
    check.equal(gateway.registry.series["kong_tse_route_requests_total" .. label], 1)
  end },
}
