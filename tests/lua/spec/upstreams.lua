-- Bringing Upstreams into memory, in the access phase, where waiting is allowed.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway, gateway:plan(message.config({ "canary" }))
end


-- Where a request goes for which "canary" is decided, and the reason if that is not canary.
local function routed(gateway, plan, name)
  local request = gateway:request({ plan = plan })
  request:decide(message.route(plan, "22", name or "canary"))
  request:finish()
  return request.tries[1], request.seen_headers()["X-Kong-Route-Error"]
end


local function check_route(gateway, plan, address, reason)
  local found, err = routed(gateway, plan)
  if found ~= address or err ~= reason then
    error(("expected %s %s, found %s %s"):format(address, reason, found, err), 2)
  end
end


return {
  { "once a second is enough", function()
    local gateway, plan = new_gateway()
    for _ = 1, 20 do
      check_route(gateway, plan, "10.0.0.2:80")
    end
    check.equal(gateway.looked_up, 1)
    gateway.time = gateway.time + 1
    check_route(gateway, plan, "10.0.0.2:80")
    check.equal(gateway.looked_up, 2)
  end },

  { "a change is seen at once", function()
    for _, event in ipairs({ { "declarative", "reconfigure" }, { "balancer", "upstreams" },
                             { "balancer", "targets" } }) do
      local gateway, plan = new_gateway()
      check_route(gateway, plan, "10.0.0.2:80")
      gateway:add_upstream("canary", { targets = { "10.0.0.3:80" }, host_header = "new.example" })
      gateway:event(event[1], event[2])
      local request = gateway:request({ plan = plan })
      request:decide(message.route(plan, "22", "canary"))
      check.equal(request:connect():destination(), "10.0.0.3:80 new.example")
    end
  end },

  { "one that was deleted, and one that came", function()
    local gateway, plan = new_gateway()
    check_route(gateway, plan, "10.0.0.2:80")
    gateway.upstreams.canary = nil
    gateway:event("balancer", "upstreams")
    check_route(gateway, plan, "10.0.0.1:80", "unknown-upstream")
    gateway:add_upstream("canary", { targets = { "10.0.0.3:80" } })
    gateway:event("balancer", "upstreams")
    check_route(gateway, plan, "10.0.0.3:80")
  end },

  { "a balancer that is not built yet is built, and waited for", function()
    local gateway, plan = new_gateway()
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" }, unbuilt = true })
    check_route(gateway, plan, "10.0.0.2:80")
    check.equal(gateway.built, { "canary" })
    check.truthy(gateway.time < 1000.1, "short wait")
  end },

  { "one that takes long is not waited for, and not begun twice", function()
    local gateway, plan = new_gateway()
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" }, unbuilt = true })
    gateway.stuck = true
    check_route(gateway, plan, "10.0.0.1:80", "no-healthy-target")
    check.truthy(gateway.time < 1001, "bounded wait")
    for _ = 1, 3 do
      gateway.time = gateway.time + 1
      check_route(gateway, plan, "10.0.0.1:80", "no-healthy-target")
    end
    check.equal(#gateway.timers, 1)

    gateway:run_timers()
    check_route(gateway, plan, "10.0.0.2:80")
  end },

  { "two of them share the wait", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "a", "b", "c" }))
    for _, name in ipairs({ "a", "b", "c" }) do
      gateway:add_upstream(name, { targets = { "10.0.0.9:80" }, unbuilt = true })
    end
    gateway.stuck = true
    gateway:request({ plan = plan })
    check.truthy(gateway.time < 1000.6, "bounded wait")
  end },

  { "one that cannot be built is told in the log, and tried again", function()
    for _, how in ipairs({ "build_fails", "build_throws" }) do
      local gateway, plan = new_gateway()
      local upstream = { targets = { "10.0.0.2:80" }, unbuilt = true, [how] = "no targets" }
      gateway:add_upstream("canary", upstream)
      check_route(gateway, plan, "10.0.0.1:80", "no-healthy-target")
      check.contains(gateway.log[1], 'upstream "canary" has no balancer')
      check.contains(gateway.log[1], "no targets")
      upstream[how] = nil
      gateway.time = gateway.time + 1
      check_route(gateway, plan, "10.0.0.2:80")
    end
  end },

  { "no timer to be had", function()
    local gateway, plan = new_gateway()
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" }, unbuilt = true })
    gateway.no_timers = true
    check_route(gateway, plan, "10.0.0.1:80", "no-healthy-target")
    gateway.no_timers = false
    check_route(gateway, plan, "10.0.0.2:80")
  end },

  { "while Kong builds a balancer anew, the last one is asked", function()
    local gateway, plan = new_gateway()
    check_route(gateway, plan, "10.0.0.2:80")
    gateway.pools["id-of-canary"], gateway.stuck = nil, true
    check_route(gateway, plan, "10.0.0.2:80")
    gateway:event("declarative", "reconfigure")
    check_route(gateway, plan, "10.0.0.2:80")
    check.equal(gateway.time, 1000, "no wait")
  end },

  { "a look-up that fails leaves what was known", function()
    for _, how in ipairs({ "lookup_fails", "lookup_throws" }) do
      local gateway, plan = new_gateway()
      check_route(gateway, plan, "10.0.0.2:80")
      gateway[how] = "no database"
      gateway.time = gateway.time + 1
      check_route(gateway, plan, "10.0.0.2:80")
      check.contains(gateway.log[1], "no database")
    end
  end },

  { "a look-up that fails at first", function()
    for _, how in ipairs({ "lookup_fails", "lookup_throws" }) do
      local gateway, plan = new_gateway()
      gateway[how] = "no database"
      check_route(gateway, plan, "10.0.0.1:80", "unknown-upstream")
      gateway[how] = nil
      gateway.time = gateway.time + 1
      check_route(gateway, plan, "10.0.0.2:80")
    end
  end },

  { "Upstreams of breakers' fallbacks are brought as well", function()
    local gateway = new_gateway()
    gateway:add_upstream("spare", { targets = { "10.0.0.7:80" } })
    local plan = gateway:plan('{"rules":[{"upstream":[{"name":"canary"},{"name":null}],'
                              .. '"circuit_breaker":{"fallback":"spare"}}]}')
    check.equal((routed(gateway, plan, "spare")), "10.0.0.7:80")
  end },

  { "an Upstream of several rules and filters is looked up once", function()
    local gateway = new_gateway()
    local plan = gateway:plan(
      '{"rules":[{"upstream":[{"name":"canary"}]},{"upstream":[{"name":"canary"}]}]}',
      message.config({ "canary", "stable" }))
    gateway:request({ plan = plan })
    check.equal(gateway.looked_up, 2)
  end },
}
