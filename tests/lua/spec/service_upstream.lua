-- Kong's own property kong.service.upstream, for other filters.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local ROUTE, RESULT = "kong.tse_route.route", "kong.tse_route.result"
local UPSTREAM = "kong.service.upstream"


local function new_gateway()
  local gateway = Gateway.started()
  for i, name in ipairs({ "stable", "canary", "beta" }) do
    gateway:add_upstream(name, {
      targets = { "10.0.0." .. i .. ":80" }, algorithm = "least-connections",
    })
  end
  return gateway
end


return {
  { "it switches", function()
    local gateway = new_gateway()
    local request = gateway:request()
    request:set(UPSTREAM, "canary")
    check.equal(request:destination(), "10.0.0.2:80 10.0.0.2")
    check.equal(gateway:pool("stable").connections(), 0)
    check.equal(request.seen_headers(), {})
    check.equal(request:get(RESULT), nil)
    request:set(UPSTREAM, "beta")
    check.equal(request:destination(), "10.0.0.3:80 10.0.0.3", "set twice")
  end },

  { "an unknown Upstream leaves the original, is reported, and does not trap", function()
    local gateway = new_gateway()
    local request = gateway:request()
    request:set(UPSTREAM, "nowhere")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(request:shared().tse_route_error, "unknown-upstream")
    check.equal(#gateway.log, 1)
    check.contains(gateway.log[1], '"nowhere"')
  end },

  { "no value does not trap", function()
    local request = new_gateway():request()
    request:set(UPSTREAM, nil)
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(request:shared().tse_route_error, "bridge-failure")
  end },

  { "an error does not trap", function()
    local gateway = new_gateway()
    local request = gateway:request()
    request.ctx.balancer_data = nil
    request:set(UPSTREAM, "canary")
    gateway.modules["kong.runloop.balancer.balancers"].get_balancer_by_id = function()
      error("boom")
    end
    request = gateway:request()
    request:set(UPSTREAM, "canary")
    check.contains(gateway.log[#gateway.log], "boom")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
  end },

  { "after a decision it overrides it: nothing claims the decision any more", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(UPSTREAM, "beta")
    check.equal(request:destination(), "10.0.0.3:80 10.0.0.3")
    check.equal(request.seen_headers(), {})
    check.equal(request:shared(), {})
    check.equal(request:get(RESULT), nil)
  end },

  { "after a decision, an unknown Upstream leaves the decision in force", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(UPSTREAM, "nowhere")
    check.equal(request:destination(), "10.0.0.2:80 10.0.0.2")
    check.equal(request:get(RESULT), "routed")
    check.equal(request.seen_headers()["X-Kong-Route-Upstream"], "canary")
  end },

  { "before a decision it is what the service's own upstream means", function()
    local request = new_gateway():request()
    request:set(UPSTREAM, "beta")
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.NONE)
    check.equal(request:destination(), "10.0.0.3:80 10.0.0.3")
  end },

  { "it takes the place of Kong's own setter", function()
    local gateway = Gateway.new()
    gateway.properties.add_setter(UPSTREAM, function()
      error("Kong's own")
    end)
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
    gateway.handler:init_worker()
    local request = gateway:request()
    request:set(UPSTREAM, "canary")
    check.equal(request:destination(), "10.0.0.2:80 10.0.0.2")
  end },
}
