-- Error lines: one a minute for each subject, with a count of what was left out.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway, gateway:plan(message.config({ "canary", "nowhere", "elsewhere" }))
end


local function send(gateway, plan, name, times)
  for _ = 1, times or 1 do
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", name))
    request:finish()
  end
end


return {
  { "one line a minute, which counts the others", function()
    local gateway, plan = new_gateway()
    send(gateway, plan, "nowhere", 5)
    check.equal(#gateway.log, 1)
    check.equal(gateway.log[1], 'tse-route-bridge: upstream "nowhere" is not used '
                                .. "(unknown-upstream): there is no Upstream of this name")

    gateway.time = gateway.time + 59.9
    send(gateway, plan, "nowhere")
    check.equal(#gateway.log, 1)

    gateway.time = gateway.time + 0.2
    send(gateway, plan, "nowhere", 2)
    check.equal(#gateway.log, 2)
    check.contains(gateway.log[2], "(5 more like this since the last line)")

    gateway.time = gateway.time + 60
    send(gateway, plan, "nowhere")
    check.contains(gateway.log[3], "(1 more like this since the last line)")
  end },

  { "a line for each name", function()
    local gateway, plan = new_gateway()
    send(gateway, plan, "nowhere", 3)
    send(gateway, plan, "elsewhere", 3)
    check.equal(#gateway.log, 2)
    check.contains(gateway.log[2], '"elsewhere"')
  end },

  { "names beyond the bound share a line", function()
    local gateway, plan = new_gateway()
    for i = 1, 1000 do
      send(gateway, plan, "random-" .. i)
    end
    check.equal(#gateway.log, 257)

    -- A minute later the names of then make room, for as many as before.
    gateway.time = gateway.time + 60
    for i = 1001, 2000 do
      send(gateway, plan, "random-" .. i)
    end
    check.equal(#gateway.log, 2 * 257)
    check.contains(gateway.log[258], '"random-1001"')
  end },

  { "a name cannot forge a line, nor fill the log", function()
    local gateway, plan = new_gateway()
    send(gateway, plan, "a\\n2024/01/01 [error] forged" .. ("x"):rep(100000))
    check.equal(gateway.log[1]:find("\n", 1, true), nil)
    check.truthy(#gateway.log[1] < 1200, "short line")
  end },

  { "routed requests log nothing", function()
    local gateway, plan = new_gateway()
    send(gateway, plan, "canary", 3)
    gateway:request({ plan = plan }):finish()
    check.equal(gateway.log, {})
  end },
}
