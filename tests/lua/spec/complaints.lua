-- Error lines: one a minute for each Upstream, with a count of what was left out.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local ROUTE, UPSTREAM = "kong.tse_route.route", "kong.service.upstream"


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  return gateway
end


local function send(gateway, name, times)
  for _ = 1, times or 1 do
    gateway:request():set(ROUTE, message.route("22", name))
  end
end


return {
  { "one line a minute, which counts the others", function()
    local gateway = new_gateway()
    send(gateway, "nowhere", 5)
    check.equal(#gateway.log, 1)
    check.equal(gateway.log[1], 'tse-route-bridge: upstream "nowhere" is not used '
                                .. "(unknown-upstream): there is no Upstream of this name")

    gateway.time = gateway.time + 59.9
    send(gateway, "nowhere")
    check.equal(#gateway.log, 1)

    gateway.time = gateway.time + 0.1
    send(gateway, "nowhere", 2)
    check.equal(#gateway.log, 2)
    check.contains(gateway.log[2], "(5 more like this since the last line)")

    gateway.time = gateway.time + 60
    send(gateway, "nowhere")
    check.contains(gateway.log[3], "(1 more like this since the last line)")
  end },

  { "a line for each name", function()
    local gateway = new_gateway()
    send(gateway, "nowhere", 3)
    send(gateway, "elsewhere", 3)
    check.equal(#gateway.log, 2)
    check.contains(gateway.log[2], '"elsewhere"')
  end },

  { "names beyond the bound share a line", function()
    local gateway = new_gateway()
    for i = 1, 1000 do
      gateway:request():set(UPSTREAM, "random-" .. i)
    end
    check.equal(#gateway.log, 257)

    -- A minute later the names of then make room, for as many as before.
    gateway.time = gateway.time + 60
    for i = 1001, 2000 do
      gateway:request():set(UPSTREAM, "random-" .. i)
    end
    check.equal(#gateway.log, 2 * 257)
    check.contains(gateway.log[258], '"random-1001"')
  end },

  { "a name cannot forge a line, nor fill the log", function()
    local gateway = new_gateway()
    gateway:request():set(UPSTREAM, "a\n2024/01/01 [error] forged" .. ("x"):rep(100000))
    check.equal(gateway.log[1]:find("\n", 1, true), nil)
    check.truthy(#gateway.log[1] < 400, "short line")
  end },

  { "routed requests log nothing", function()
    local gateway = new_gateway()
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
    send(gateway, "canary", 3)
    gateway:request():set(ROUTE, message.NONE)
    check.equal(gateway.log, {})
  end },
}
