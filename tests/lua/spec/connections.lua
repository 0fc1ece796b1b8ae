-- Least-connections balancers count every request exactly once, whatever the filter decides.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local ROUTE, RESULT = "kong.tse_route.route", "kong.tse_route.result"


local function counting_gateway()
  local gateway = Gateway.started()
  for i, name in ipairs({ "stable", "canary", "beta" }) do
    gateway:add_upstream(name, {
      targets = { "10.0." .. i .. ".1:80", "10.0." .. i .. ".2:80" },
      algorithm = "least-connections",
    })
  end
  gateway:add_upstream("empty", { targets = {} })
  return gateway
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
    local gateway = counting_gateway()
    local request = gateway:request()
    check.equal(counts(gateway), { 1, 0, 0 })
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(counts(gateway), { 0, 1, 0 })
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "two switches count once", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.route("30", "beta"))
    check.equal(counts(gateway), { 0, 0, 1 })
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "the same decision twice counts once and keeps the peer", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "canary"))
    local peer = request:destination()
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:destination(), peer)
    check.equal(counts(gateway), { 0, 1, 0 })
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "back to the service's own Upstream counts there again", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.NONE)
    check.equal(counts(gateway), { 1, 0, 0 })
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
    check.equal(#gateway:pool("stable").reports, 1)
  end },

  { "an unknown Upstream leaves the first handle counted once", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    local handle = request.ctx.balancer_data.balancer_handle
    request:set(ROUTE, message.route("22", "nowhere"))
    check.equal(request.ctx.balancer_data.balancer_handle, handle)
    check.equal(counts(gateway), { 1, 0, 0 })
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "an Upstream without a target leaves the first handle counted once", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "empty"))
    check.equal(request:get(RESULT), "no-healthy-target")
    check.equal(counts(gateway), { 1, 0, 0 })
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "a second handle is released when the Host header cannot be set", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    gateway.set_host_header_throws = "no variable"
    request:set(ROUTE, message.route("22", "canary"))
    gateway.set_host_header_throws = nil
    check.equal(request:get(RESULT), "bridge-failure")
    check.equal(counts(gateway), { 1, 0, 0 })
    check.equal(request:destination(), "10.0.1.1:80 10.0.1.1")
    request:finish()
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "a handle that cannot be released does not fail the request", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    request.ctx.balancer_data.balancer_handle.release = function()
      error("the target is gone")
    end
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "routed")
    check.equal(gateway:pool("canary").connections(), 1)
  end },

  { "retries after a switch count once", function()
    local gateway = counting_gateway()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "canary"))
    request:finish({ refused = 2, status = 502 })
    check.equal(counts(gateway), { 0, 0, 0 })
  end },

  { "many concurrent requests leave nothing behind", function()
    local gateway = counting_gateway()
    local decisions = {
      message.route("22", "canary"), message.route("22", "beta"), message.route("22", "stable"),
      message.route("22", "nowhere"), message.route("22", "empty"), message.route("22"), message.NONE,
    }
    local requests = {}
    for i = 1, 490 do
      local request = gateway:request()
      request:set(ROUTE, decisions[i % 7 + 1])
      request:set(ROUTE, decisions[math.floor(i / 7) % 7 + 1])
      requests[i] = request
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
