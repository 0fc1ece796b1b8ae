-- Whatever fails, the filter is not trapped and the original peer serves.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local ROUTE, RESULT = "kong.tse_route.route", "kong.tse_route.result"


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway
end


local FIELDS = { "type", "host", "port", "ip", "hostname", "balancer", "balancer_handle", "upstream",
                 "hash_value", "hash_cookie", "scheme", "try_count", "retries", "preserve_host" }


local function data_of(request)
  local data = {}
  for _, field in ipairs(FIELDS) do
    data[field] = request.ctx.balancer_data[field]
  end
  return data
end


-- Sends a decision that must fail with `code` and change nothing of the request's way.
local function fails(request, code, upstream)
  local before, host = data_of(request), request.var.upstream_host
  request:set(ROUTE, message.route("22", upstream or "canary"))
  local after = data_of(request)
  for _, field in ipairs(FIELDS) do
    if before[field] ~= after[field] then
      error(field .. " has changed", 2)
    end
  end
  check.equal(request.var.upstream_host, host)
  check.equal(request:get(RESULT), code)
  check.equal(request.seen_headers(), {
    ["X-Kong-Route-Rule"] = "22",
    ["X-Kong-Route-Error"] = code,
  })
end


return {
  { "an unknown Upstream", function()
    fails(new_gateway():request(), "unknown-upstream", "nowhere")
  end },

  { "an unknown Upstream, from a service with an IP address", function()
    local request = new_gateway():request({
      service = { name = "shop", host = "192.0.2.7", port = 8080, protocol = "http" },
    })
    fails(request, "unknown-upstream", "nowhere")
  end },

  { "an Upstream without targets", function()
    local gateway = new_gateway()
    gateway:add_upstream("empty", { targets = {} })
    fails(gateway:request(), "no-healthy-target", "empty")
  end },

  { "an Upstream with unhealthy targets only", function()
    local gateway = new_gateway()
    gateway:add_upstream("ill", { targets = { "10.0.0.3:80" }, unhealthy = true })
    fails(gateway:request(), "no-healthy-target", "ill")
  end },

  { "an Upstream whose balancer finds no peer although it is healthy", function()
    local gateway = new_gateway()
    gateway:add_upstream("busy", {
      targets = { "10.0.0.3:80" }, getpeer_fails = "No peers are available", host_header = "x.example",
    })
    fails(gateway:request(), "no-healthy-target", "busy")
  end },

  { "an Upstream whose balancer fails otherwise", function()
    local gateway = new_gateway()
    gateway:add_upstream("broken", { targets = { "10.0.0.3:80" }, getpeer_fails = "dns trouble" })
    fails(gateway:request(), "bridge-failure", "broken")
  end },

  { "a cookie-hashing Upstream that fails leaves no cookie behind", function()
    local gateway = new_gateway()
    gateway:add_upstream("sticky", {
      targets = { "10.0.0.3:80" }, hash_on = "cookie", hash_on_cookie = "s", getpeer_fails = "trouble",
    })
    local request = gateway:request()
    fails(request, "bridge-failure", "sticky")
    request:finish()
    check.equal(request.seen_headers()["Set-Cookie"], nil)
  end },

  { "an Upstream without a healthy target leaves no client certificate behind", function()
    local gateway = new_gateway()
    gateway:add_upstream("ill", {
      targets = { "10.0.0.3:80" }, unhealthy = true, client_certificate = "certificate of ill",
    })
    fails(gateway:request(), "no-healthy-target", "ill")
    check.equal(gateway.connection_certificate, nil)
  end },

  { "a balancer that throws", function()
    local gateway = new_gateway()
    local request = gateway:request()
    gateway.execute_throws = "boom"
    fails(request, "bridge-failure")
    check.contains(gateway.log[1], "boom")
  end },

  { "a Host header that cannot be set", function()
    local gateway = new_gateway()
    local request = gateway:request()
    gateway.set_host_header_throws = "boom"
    fails(request, "bridge-failure")
  end },

  { "a failing look-up of Upstreams", function()
    local gateway = new_gateway()
    local request = gateway:request()
    gateway.lookup_fails = "no database"
    fails(request, "bridge-failure")
    check.contains(gateway.log[1], "no database")
  end },

  { "a look-up of Upstreams that throws", function()
    local gateway = new_gateway()
    local request = gateway:request()
    gateway.modules["kong.runloop.balancer"].get_upstream_by_name = function()
      error("thrown")
    end
    fails(request, "bridge-failure")
    check.contains(gateway.log[1], "thrown")
  end },

  { "a target whose name has expired and would have to be asked for", function()
    local gateway = new_gateway()
    local pool = gateway:add_upstream("named", { targets = { "api.internal:80" } })
    pool.addresses[1].expired = true
    fails(gateway:request(), "bridge-failure", "named")
    pool.addresses[1].expired = false
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "named"))
    check.equal(request:get(RESULT), "routed")
  end },

  { "an Upstream whose balancer is not built yet is left for Kong to build", function()
    local gateway = new_gateway()
    gateway:add_upstream("fresh", { targets = { "10.0.0.3:80" }, unbuilt = true })
    fails(gateway:request(), "no-healthy-target", "fresh")

    local normal = gateway:request({
      service = { name = "fresh", host = "fresh", port = 80, protocol = "http" },
    })
    check.truthy(normal, "Kong builds it for a request of its own")
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "fresh"))
    check.equal(request:get(RESULT), "routed")
  end },

  { "a request that is already on its way is left alone", function()
    local request = new_gateway():request()
    request.ctx.balancer_data.try_count = 1
    fails(request, "bridge-failure")
  end },

  { "a request without a balancer's data", function()
    local request = new_gateway():request()
    request.ctx.balancer_data = nil
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "bridge-failure")
    request:set(ROUTE, message.NONE)
    check.equal(request:get(RESULT), "none")
  end },

  { "messages that are no decisions", function()
    for _, broken in ipairs({ "", "not JSON", '{"rule":', '"22"', "22", "null", "true" }) do
      local gateway = new_gateway()
      local request = gateway:request()
      request:set(ROUTE, broken)
      check.equal(request:get(RESULT), "bridge-failure", broken)
      check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
      check.equal(request:shared().tse_route_error, "bridge-failure")
      check.equal(#gateway.log, 1)
    end
  end },

  { "no message at all", function()
    local request = new_gateway():request()
    request:set(ROUTE, nil)
    check.equal(request:get(RESULT), "bridge-failure")
  end },

  { "a second message that is no decision goes back to the original", function()
    local request = new_gateway():request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, "not JSON")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(request.seen_headers(), {})
    check.equal(request:shared().tse_route_rule, nil)
    check.equal(request:shared().tse_route_upstream, nil)
  end },

  { "no way back: the first decision stays in force and is shown with the error", function()
    local gateway = new_gateway()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "canary"))
    gateway:pool("stable").healthy = false
    request:set(ROUTE, message.NONE)
    check.equal(request:get(RESULT), "no-healthy-target")
    check.equal(request:destination(), "10.0.0.2:80 10.0.0.2")
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "22",
      ["X-Kong-Route-Upstream"] = "canary",
      ["X-Kong-Route-Error"] = "no-healthy-target",
    })
    check.contains(gateway.log[1], '"stable"')
    request:finish()
  end },

  { "no way back from a second decision: the headers name the Upstream that serves", function()
    local gateway = new_gateway()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "canary"))
    gateway:pool("stable").healthy = false
    request:set(ROUTE, message.route("30", "nowhere"))
    check.equal(request:get(RESULT), "unknown-upstream")
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "30",
      ["X-Kong-Route-Upstream"] = "canary",
      ["X-Kong-Route-Error"] = "unknown-upstream",
    })
  end },

  { "an error while publishing does not trap, and the request goes back", function()
    local gateway = new_gateway()
    local request = gateway:request()
    local real = request.header
    request.header = setmetatable({}, {
      __index = real,
      __newindex = function(_, name, value)
        if value == "canary" then
          error("cannot set a header")
        end
        real[name] = value
      end,
    })
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "bridge-failure")
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.contains(gateway.log[1], "cannot set a header")
  end },
}
