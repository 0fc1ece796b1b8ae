-- What a decision publishes, and what a second one in the same request replaces.

local check = require "check"
local message = require "message"
local json = require "standin.json"
local Gateway = require "standin.gateway"

local ROUTE, RESULT = "kong.tse_route.route", "kong.tse_route.result"


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  gateway:add_upstream("beta", { targets = { "10.0.0.3:80" } })
  return gateway
end


local function published(request)
  local shared, found = request:shared(), {}
  for key, value in pairs(shared) do
    found[key:gsub("^tse_route_", "")] = value
  end
  return found
end


return {
  { "the bridge answers with its protocol's version, which is constant", function()
    local gateway = new_gateway()
    local request = gateway:request()
    check.equal(request:get("kong.tse_route.bridge"), "1")
    gateway.properties.getters["kong.tse_route.bridge"] = nil
    check.equal(request:get("kong.tse_route.bridge"), "1", "second read")
  end },

  { "without a decision there is no result and nothing is published", function()
    local request = new_gateway():request()
    check.equal(request:get(RESULT), nil)
    check.equal(published(request), {})
    check.equal(request.seen_headers(), {})
  end },

  { "a named upstream", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.of({ rule = "22", upstream = "canary", name = "beta users" }))
    check.equal(request:get(RESULT), "routed")
    check.equal(published(request), { rule = "22", upstream = "canary", name = "beta users" })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "22",
      ["X-Kong-Route-Upstream"] = "canary",
      ["X-Kong-Route-Name"] = "beta users",
    })
  end },

  { "the service's own upstream", function()
    local gateway = new_gateway()
    local request = gateway:request()
    local executed = gateway.executed
    request:set(ROUTE, message.of({ rule = "22", name = "everyone" }))
    check.equal(request:get(RESULT), "own")
    check.equal(gateway.executed, executed, "balancer runs")
    check.equal(published(request), { rule = "22", name = "everyone" })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "22",
      ["X-Kong-Route-Name"] = "everyone",
    })
  end },

  { "an unknown Upstream: the original serves, and the response says so", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "nowhere"))
    check.equal(request:get(RESULT), "unknown-upstream")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(published(request), { rule = "22", error = "unknown-upstream" })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "22",
      ["X-Kong-Route-Error"] = "unknown-upstream",
    })
  end },

  { "an error that the filter reports", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.of({ error = "invalid-config" }))
    check.equal(request:get(RESULT), "invalid-config")
    check.equal(published(request), { error = "invalid-config" })
    check.equal(request.seen_headers(), { ["X-Kong-Route-Error"] = "invalid-config" })
  end },

  { "an error of the filter stands in place of a rule", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.of({ rule = "22", upstream = "canary", error = "invalid-config" }))
    check.equal(request:get(RESULT), "invalid-config")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(published(request), { error = "invalid-config" })
  end },

  { "headers that are switched off are not set", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.of({ rule = "22", upstream = "canary", name = "n", headers = "{}" }))
    check.equal(request.seen_headers(), {})
    check.equal(published(request), { rule = "22", upstream = "canary", name = "n" })

    request:set(ROUTE, '{"rule":"22","upstream":"canary"}')
    check.equal(request.seen_headers(), {})
  end },

  { "headers have the names that the filter gives", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.of({ rule = "22", upstream = "canary", headers = '{"rule":"X-R"}' }))
    check.equal(request.seen_headers(), { ["X-R"] = "22" })
  end },

  { "{} restores the original peer and clears all that was published", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.of({ rule = "22", upstream = "canary", name = "n" }))
    request:set(ROUTE, message.NONE)
    check.equal(request:get(RESULT), "none")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(published(request), {})
    check.equal(request.seen_headers(), {})
  end },

  { "{} first and a decision then", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.NONE)
    check.equal(request:get(RESULT), "none")
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "routed")
    check.equal(request:destination(), "10.0.0.2:80 10.0.0.2")
  end },

  { "{} restores a service with an IP address without running the balancer", function()
    local gateway = new_gateway()
    local request = gateway:request({
      service = { name = "shop", host = "192.0.2.7", port = 8080, protocol = "http" },
    })
    request:set(ROUTE, message.route("22", "canary"))
    local executed = gateway.executed
    request:set(ROUTE, message.NONE)
    check.equal(request:destination(), "192.0.2.7:8080 192.0.2.7:8080")
    check.equal(request.ctx.balancer_data.type, "ipv4")
    check.equal(request.ctx.balancer_data.balancer, nil)
    check.equal(request.ctx.balancer_data.balancer_handle, nil)
    check.equal(request.ctx.balancer_data.upstream, nil)
    check.equal(gateway.executed, executed, "balancer runs")
  end },

  { "the second decision replaces the first altogether", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.of({
      rule = "22", upstream = "canary", name = "first",
      headers = '{"rule":"X-Old-Rule","upstream":"X-Old-Upstream","name":"X-Old-Name"}',
    }))
    request:set(ROUTE, message.route("30", "beta"))
    check.equal(request:get(RESULT), "routed")
    check.equal(request:destination(), "10.0.0.3:80 10.0.0.3")
    check.equal(published(request), { rule = "30", upstream = "beta" })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "30",
      ["X-Kong-Route-Upstream"] = "beta",
    })
  end },

  { "the second decision is the service's own upstream", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.route("30"))
    check.equal(request:get(RESULT), "own")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(published(request), { rule = "30" })
    check.equal(request.seen_headers(), { ["X-Kong-Route-Rule"] = "30" })
  end },

  { "the second decision names an unknown Upstream: back to the original", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.route("30", "nowhere"))
    check.equal(request:get(RESULT), "unknown-upstream")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "30",
      ["X-Kong-Route-Error"] = "unknown-upstream",
    })
  end },

  { "the second decision is an error of the filter: back to the original", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.of({ error = "invalid-config" }))
    check.equal(request:get(RESULT), "invalid-config")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(request.seen_headers(), { ["X-Kong-Route-Error"] = "invalid-config" })
  end },

  { "a good second decision clears the error of the first", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "nowhere"))
    request:set(ROUTE, message.route("30", "canary"))
    check.equal(request:get(RESULT), "routed")
    check.equal(published(request), { rule = "30", upstream = "canary" })
    check.equal(request.seen_headers()["X-Kong-Route-Error"], nil)
  end },

  { "decisions of one request do not show in another", function()
    local gateway = new_gateway()
    local first, second = gateway:request(), gateway:request()
    first:set(ROUTE, message.route("22", "canary"))
    check.equal(second:get(RESULT), nil)
    second:set(ROUTE, message.route("22", "nowhere"))
    check.equal(first:get(RESULT), "routed")
    check.equal(first:destination(), "10.0.0.2:80 10.0.0.2")
  end },

  { "a decision is decoded once", function()
    local gateway = new_gateway()
    local before = json.decoded
    for _ = 1, 50 do
      gateway:request():set(ROUTE, message.route("22", "canary"))
      gateway:request():set(ROUTE, "not JSON")
    end
    check.equal(json.decoded - before, 2)
  end },

  { "the cache of decisions is bounded, and works on after it was full", function()
    local gateway = new_gateway()
    local request = gateway:request()
    local before = json.decoded
    request:set(ROUTE, message.route("0", "canary"))
    for i = 1, 4095 do
      request:set(ROUTE, message.route(tostring(i)))
    end
    request:set(ROUTE, message.route("0", "canary"))
    check.equal(json.decoded - before, 4096, "decoded while it fits")
    request:set(ROUTE, message.route("4096"))
    request:set(ROUTE, message.route("0", "canary"))
    check.equal(json.decoded - before, 4098, "decoded after it was full")
    check.equal(request:get(RESULT), "routed")
  end },

  { "JSON nulls and fields of other types count as absent", function()
    local request = new_gateway():request()
    request:set(ROUTE, '{"rule":"22","name":null,"upstream":null,"error":null,'
                       .. '"headers":{"rule":"X-R","upstream":null,"name":7}}')
    check.equal(request:get(RESULT), "own")
    check.equal(request.seen_headers(), { ["X-R"] = "22" })
    request:set(ROUTE, '{"rule":"22","upstream":["canary"],"headers":null}')
    check.equal(request:get(RESULT), "own")
  end },
}
