-- Least-connections balancers count every request exactly once, whatever the filter decides.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local NAMES = { "stable", "canary", "beta", "empty", "nowhere" }


local function counting_gateway()
  local gateway = Gateway.started()
  for i, name in ipairs({ "stable", "canary", "beta" }) do
    gateway:add_upstream(name, {
      targets = { "10.0." .. i .. ".1:80", "10.0." .. i .. ".2:80" },
      algorithm = "least-connections",
    })
  end
  gateway:add_upstream("empty", { targets = {} })
  return gateway, gateway:plan(message.config(NAMES))
end


local function counts(gateway)
  return {
    gateway:pool("stable").connections(),
    gateway:pool("canary").connections(),
    gateway:pool("beta").connections(),
  }
end


return {
  { "a switch moves the count to the new Upstream", function()
    local gateway, plan = counting_gateway()
    local request = gateway:request({ plan = plan })
    check.equal(counts(gateway), { 1, 0, 0 })
    request:decide(message.route(plan, "22", "canary"))
    request:connect()
    check.equal(counts(gateway), { 0, 1, 0 })
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "an Upstream that cannot be used leaves the first handle counted once", function()
    for _, name in ipairs({ "nowhere", "empty" }) do
      local gateway, plan = counting_gateway()
      local request = gateway:request({ plan = plan })
      local handle = request.ctx.balancer_data.balancer_handle
      request:decide(message.route(plan, "22", name))
      request:connect()
      check.equal(request.ctx.balancer_data.balancer_handle, handle)
      check.equal(counts(gateway), { 1, 0, 0 })
      request:finish()
      check.equal(counts(gateway), { 0, 0, 0 })
    end
  end },

  { "a handle that cannot be released does not fail the request", function()
    local gateway, plan = counting_gateway()
    local request = gateway:request({ plan = plan })
    request.ctx.balancer_data.balancer_handle.release = function()
      error("the target is gone")
    end
    request:decide(message.route(plan, "22", "canary"))
    check.equal(request:connect().ctx.balancer_data.host, "canary")
    check.equal(gateway:pool("canary").connections(), 1)
  end },

  { "a Host header that cannot be set leaves the count where the request goes", function()
    local gateway, plan = counting_gateway()
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    gateway.set_host_header_throws = "no variable"
    request:connect()
    gateway.set_host_header_throws = nil
    check.equal(counts(gateway), { 0, 1, 0 })
    check.contains(gateway.log[1], "no variable")
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "retries after a switch count once", function()
    local gateway, plan = counting_gateway()
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    request:finish({ refused = 2, status = 502 })
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "many concurrent requests leave nothing behind", function()
    local gateway, plan = counting_gateway()
    local decisions = {
      message.route(plan, "22", "canary"), message.route(plan, "22", "beta"),
      message.route(plan, "22", "stable"), message.route(plan, "22", "nowhere"),
      message.route(plan, "22", "empty"), message.route(plan, "22"), message.none(plan),
    }
    local requests = {}
    for i = 1, 490 do
      local request = gateway:request({ plan = plan })
      request:decide(decisions[i % 7 + 1])
      request:decide(decisions[math.floor(i / 7) % 7 + 1])
      requests[i] = request:connect()
    end
    local open = counts(gateway)
    check.equal(open[1] + open[2] + open[3], 490)
    -- Each of the 49 pairs of decisions comes ten times; the second of the pair is what holds.
    check.equal({ open[2], open[3] }, { 70, 70 })
    for i = 1, 490 do
      requests[i]:finish({ refused = i % 3 })
    end
    check.equal(counts(gateway), { 0, 0, 0 })
  end },
}
