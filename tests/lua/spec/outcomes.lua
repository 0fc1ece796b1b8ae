-- What a response, other plugins and the log are told of a decision.

local check = require "check"
local json = require "standin.json"
local message = require "message"
local Gateway = require "standin.gateway"


local FORGED = {
  ["X-Kong-Route-Rule"] = "1",
  ["X-Kong-Route-Upstream"] = "forged",
  ["X-Kong-Route-Error"] = "forged",
  ["Content-Type"] = "text/plain",
}


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway, gateway:plan(message.config({ "canary", "nowhere" }))
end


-- A finished request with this decision (a table, or text).
local function served(fields, options)
  local gateway, plan = new_gateway()
  local request = gateway:request({ plan = plan })
  if fields then
    request:decide(type(fields) == "string" and fields or message.of(plan, fields))
  end
  request:connect()
  request.published = request:shared()
  return request:finish(options), gateway
end


-- The response headers and what other plugins read, for a decision.
local function told(fields, options)
  local request = served(fields, options)
  return { headers = request.seen_headers(), shared = request.published }
end


return {
  { "a switch", function()
    check.equal(told({ rule = "22", upstream = "canary", name = "beta users" }), {
      headers = { ["X-Kong-Route-Rule"] = "22", ["X-Kong-Route-Upstream"] = "canary",
                  ["X-Kong-Route-Name"] = "beta users" },
      shared = { tse_route_rule = "22", tse_route_upstream = "canary", tse_route_name = "beta users" },
    })
  end },

  { "the service's own upstream", function()
    check.equal(told({ rule = "22" }), {
      headers = { ["X-Kong-Route-Rule"] = "22" }, shared = { tse_route_rule = "22" },
    })
  end },

  { "an unknown Upstream", function()
    check.equal(told({ rule = "22", upstream = "nowhere" }), {
      headers = { ["X-Kong-Route-Rule"] = "22", ["X-Kong-Route-Error"] = "unknown-upstream" },
      shared = { tse_route_rule = "22", tse_route_error = "unknown-upstream" },
    })
  end },

  { "an error of the filter stands in place of a rule", function()
    check.equal(told({ error = "invalid-config", rule = "22", upstream = "canary" }), {
      headers = { ["X-Kong-Route-Error"] = "invalid-config" },
      shared = { tse_route_error = "invalid-config" },
    })
  end },

  { "nothing", function()
    check.equal(told(nil), { headers = {}, shared = {} })
  end },

  { "the operator's names of headers, and those that are switched off", function()
    check.equal(told({ rule = "22", upstream = "canary", headers = '{"rule":"X-R"}' }).headers,
                { ["X-R"] = "22" })
    check.equal(told({ rule = "22", upstream = "canary", headers = "{}" }).headers, {})
    check.equal(told({ rule = "22", upstream = "canary", headers = "null" }).headers, {})
  end },

  { "share: false keeps it from other plugins", function()
    check.equal(told({ rule = "22", upstream = "canary", share = false }).shared, {})
  end },

  { "an upstream's own headers of these names never pass", function()
    check.equal(told({ rule = "22", upstream = "canary" }, { headers = FORGED }).headers, {
      ["X-Kong-Route-Rule"] = "22", ["X-Kong-Route-Upstream"] = "canary",
      ["Content-Type"] = "text/plain",
    })
    check.equal(told({ rule = "22" }, { headers = FORGED }).headers, {
      ["X-Kong-Route-Rule"] = "22", ["Content-Type"] = "text/plain",
    })
  end },

  { "a request without a decision is left alone", function()
    check.equal(told(nil, { headers = FORGED }).headers, FORGED)
  end },

  { "an answer that nginx makes itself carries the headers", function()
    check.equal(told({ rule = "22", upstream = "canary" }, { status = 502, by_nginx = true }).headers, {
      ["X-Kong-Route-Rule"] = "22", ["X-Kong-Route-Upstream"] = "canary",
    })
  end },

  { "messages that are no decisions", function()
    for _, broken in ipairs({ "", "not JSON", '{"rule":', '"22"', "22", "null", "true", "[]" }) do
      local request, gateway = served(broken)
      check.equal(request.seen_headers(), { ["X-Kong-Route-Error"] = "bridge-failure" }, broken)
      check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
      check.equal(#gateway.log, 1)
      check.equal(request.sent["x-tse-route-decision"], nil)
    end
  end },

  { "the header for errors is the operator's", function()
    local names = {
      [""] = "X-Kong-Route-Error",
      [',"response_headers":null'] = "X-Kong-Route-Error",
      [',"response_headers":{"rule":"X-R"}'] = "X-Kong-Route-Error",
      [',"response_headers":{"error":"X-E"}'] = "X-E",
      [',"response_headers":{"error":false}'] = false,
      [',"response_headers":false'] = false,
    }
    for more, name in pairs(names) do
      local gateway = new_gateway()
      local plan = gateway:plan(message.config({ "canary" }, more))
      local request = gateway:request({ plan = plan })
      request:decide("junk")
      request:finish()
      check.equal(request.seen_headers(), name and { [name] = "bridge-failure" } or {}, more)
    end
  end },

  { "a decision is decoded once", function()
    local gateway, plan = new_gateway()
    local before = json.decoded
    for _ = 1, 50 do
      local request = gateway:request({ plan = plan })
      request:decide(message.route(plan, "22", "canary"))
      request:finish()
    end
    check.equal(json.decoded - before, 1)
  end },

  { "the cache of decisions is bounded, and works on after it was full", function()
    local gateway, plan = new_gateway()
    local function send(rule)
      local request = gateway:request({ plan = plan })
      request:decide(message.route(plan, rule, "canary"))
      return request:finish()
    end
    local before = json.decoded
    for i = 1, 4096 do
      send(tostring(i))
    end
    send("1")
    check.equal(json.decoded - before, 4096, "decoded while it fits")
    send("4097")
    check.equal(send("1"):destination(), "10.0.0.2:80 10.0.0.2")
    check.equal(json.decoded - before, 4098, "decoded after it was full")
  end },

  { "JSON nulls and fields of other types count as absent", function()
    local gateway, plan = new_gateway()
    local _, id = message.member(plan)
    for _, rest in ipairs({
      '"name":null,"upstream":null,"error":null,"breaker":7,"route_by":null,"request_headers":7',
      '"upstream":["canary"],"route_by":{"header":"X-A"},"share":null',
      '"name":7,"upstream":"","error":"","request_headers":{"set":7,"add":null,"remove":"x"}',
    }) do
      local request = gateway:request({ plan = plan })
      request:decide('{"id":"' .. id .. '","rule":"22","headers":{"rule":"X-R","name":7},' .. rest .. "}")
      request:finish()
      check.equal(request:destination(), "10.0.0.1:80 10.0.0.1", rest)
      check.equal(request.seen_headers(), { ["X-R"] = "22" }, rest)
    end
    check.equal(gateway.log, {})
  end },

  { "an error while the response is shown does not fail it", function()
    local gateway, plan = new_gateway()
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    request:connect()
    request.header = setmetatable({}, { __newindex = function() error("headers are sent") end })
    request:finish()
    check.contains(gateway.log[1], "headers are sent")
  end },

  { "a plugin that buffers responses is told in the log and in the response", function()
    local gateway, plan = new_gateway()
    for _ = 1, 3 do
      local request = gateway:request({ plan = plan, buffered = true })
      request:finish()
      check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
      check.equal(request.seen_headers(), { ["X-Kong-Route-Error"] = "response-buffering" })
    end
    check.equal(#gateway.log, 1)
    check.contains(gateway.log[1], 'route "shop-route"')
    check.contains(gateway.log[1], "tse-route decides nothing there")

    local request = gateway:request({ buffered = true }):finish()
    check.equal(request.seen_headers(), {}, "where no filter is")
    check.equal(#gateway.log, 1)
  end },
}
