-- Failed requests that no filter was called for reach the filter's circuit breakers.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local BY_NGINX = { status = 502, by_nginx = true }
local CONFIG = '{"rules":[{"upstream":[{"name":"canary"},{"name":"nowhere"}],"circuit_breaker":{}}]%s}'


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway, gateway:plan(CONFIG:format(""))
end


local function serve(gateway, plan, breaker, upstream, options)
  local request = gateway:request({ plan = plan })
  request:decide(message.of(plan, { rule = "22", upstream = upstream, breaker = breaker }))
  return request:finish(options)
end


-- What the next request tells the filter, with the id as I.
local function told(gateway, plan)
  local request = gateway:request({ plan = plan })
  local failures = request.headers:variable("x_tse_route_failures")
  request:finish()
  check.equal(request.sent["x-tse-route-failures"], nil, "sent to the upstream")
  local _, id = message.member(plan)
  return failures and failures:gsub(id:gsub("%-", "%%-"), "I")
end


return {
  { "an answer that nginx made is told once, to the chain that decided", function()
    local gateway, plan = new_gateway()
    local other = gateway:plan(CONFIG:format(',"description":"other"'))
    serve(gateway, plan, 1, "canary", BY_NGINX)
    local second = serve(gateway, plan, 1, "canary", BY_NGINX)
    check.truthy(second, "a request")
    serve(gateway, other, 1, "canary", BY_NGINX)
    check.equal((told(gateway, other)), "I.1=1")
    check.equal((told(gateway, other)), nil)
  end },

  { "counts add up, breaker by breaker", function()
    local gateway, plan = new_gateway()
    -- Two at once: neither tells of the other.
    local first, second, third = gateway:request({ plan = plan }), gateway:request({ plan = plan }),
                                 gateway:request({ plan = plan })
    for i, request in ipairs({ first, second, third }) do
      request:decide(message.of(plan, { rule = "22", upstream = "canary", breaker = i == 3 and 10 or 1 }))
      request:finish(BY_NGINX)
    end
    check.equal((told(gateway, plan)), "I.10=1,I.1=2")
    check.equal((told(gateway, plan)), nil)
  end },

  { "an answer of the service is the filter's to count", function()
    local gateway, plan = new_gateway()
    serve(gateway, plan, 1, "canary", { status = 503 })
    check.equal((told(gateway, plan)), nil)
  end },

  { "a failure elsewhere is not the upstream's", function()
    local gateway, plan = new_gateway()
    serve(gateway, plan, 1, "nowhere", BY_NGINX)
    serve(gateway, plan, nil, "canary", BY_NGINX)
    check.equal((told(gateway, plan)), nil)
  end },

  { "chains without circuit breakers are told nothing", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    serve(gateway, plan, 1, "canary", BY_NGINX)
    check.equal((told(gateway, plan)), nil)
  end },

  { "a client cannot tell of failures", function()
    local gateway, plan = new_gateway()
    local _, id = message.member(plan)
    for _, name in ipairs({ "x-tse-route-failures", "X_TSE_Route_Failures" }) do
      local request = gateway:request({ plan = plan, headers = { { name, id .. ".1=1000" } } })
      check.equal(request.headers:by_name(), {})
    end
  end },

  { "an unfollowed decision is told to the filter, for an answer of the service", function()
    local gateway, plan = new_gateway()
    local request = serve(gateway, plan, 1, "nowhere")
    check.equal(request.seen_by_filter["x-tse-route-unfollowed"], "unknown-upstream")
    request = serve(gateway, plan, 1, "nowhere", BY_NGINX)
    check.equal(request.seen_headers()["x-tse-route-unfollowed"], nil, "for the client")
  end },

  { "and an upstream cannot pretend that", function()
    local gateway, plan = new_gateway()
    local request = serve(gateway, plan, 1, "canary", { headers = { ["X-Tse-Route-Unfollowed"] = "x" } })
    check.equal(request.seen_by_filter["X-Tse-Route-Unfollowed"], nil)
  end },

  { "where no circuit breaker asks it costs no header", function()
    local gateway, plan = new_gateway()
    check.equal(serve(gateway, plan, nil, "nowhere").seen_by_filter["x-tse-route-unfollowed"], nil)
  end },

  { "failures of configurations that are gone do not pile up", function()
    local gateway, plan = new_gateway()
    local ids = {}
    for i = 1, 300 do
      local gone = gateway:plan(CONFIG:format(',"description":"' .. i .. '"'))
      ids[i] = select(2, message.member(gone))
      serve(gateway, gone, 1, "canary", BY_NGINX)
    end
    collectgarbage()
    collectgarbage()
    serve(gateway, plan, 1, "canary", BY_NGINX)
    local outages = require "kong.plugins.tse-route-bridge.outages"
    check.equal(outages.take({ [ids[1]] = true }), nil)
    check.equal((told(gateway, plan)), "I.1=1")
  end },
}
