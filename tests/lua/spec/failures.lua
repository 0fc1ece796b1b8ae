-- Whatever fails, the service's own peer serves, and the reason is told.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway
end


local FIELDS = { "type", "host", "port", "ip", "hostname", "balancer", "balancer_handle", "upstream",
                 "hash_value", "hash_cookie", "scheme", "retries", "preserve_host" }


local function data_of(request)
  local data = {}
  for _, field in ipairs(FIELDS) do
    data[field] = request.ctx.balancer_data[field]
  end
  return data
end


-- A decision that must fail with `code` and change nothing of the request's way.
local function fails(gateway, name, code, options)
  options = options or {}
  options.plan = gateway:plan(message.config({ name }))
  local request = gateway:request(options)
  local before, host = data_of(request), request.var.upstream_host
  request:decide(message.route(options.plan, "22", name))
  request:connect()
  local after = data_of(request)
  for _, field in ipairs(FIELDS) do
    if before[field] ~= after[field] then
      error(field .. " has changed", 2)
    end
  end
  check.equal(request.sent.host, host)
  request:finish()
  check.equal(request.seen_headers(), {
    ["X-Kong-Route-Rule"] = "22",
    ["X-Kong-Route-Error"] = code,
  })
  check.contains(gateway.log[1], 'upstream "' .. name .. '" is not used (' .. code .. ")")
end


-- Requests whose own upstream Kong has no peer for, in every way there is: name -> a gateway, and what
-- a request needs.
local function without_own_peer()
  local ill, empty, nameless = new_gateway(), new_gateway(), new_gateway()
  ill:add_upstream("stable", {
    targets = { "10.0.0.1:80" }, unhealthy = true, hash_on = "cookie", hash_on_cookie = "s",
  })
  empty:add_upstream("stable", { targets = {} })
  return {
    ["its targets are unhealthy"] = { ill },
    ["it has no targets"] = { empty },
    ["its name has no address"] = { nameless, { name = "shop", host = "gone.internal", port = 80 } },
  }
end


return {
  { "a service's own upstream without a peer: a rule leads elsewhere", function()
    for how, case in pairs(without_own_peer()) do
      local gateway, service = case[1], case[2]
      local plan = gateway:plan(message.config({ "canary" }))
      local request = gateway:request({ plan = plan, service = service })
      check.equal(request.status, nil, how)
      request:decide(message.route(plan, "22", "canary"))
      request:finish()
      check.equal(request:destination(), "10.0.0.2:80 10.0.0.2", how)
      check.equal(request.seen_headers(), {
        ["X-Kong-Route-Rule"] = "22", ["X-Kong-Route-Upstream"] = "canary",
      }, how)
      check.equal(gateway.log, {}, how)
    end
  end },

  { "a service's own upstream without a peer: what stays there gets Kong's answer", function()
    for how, case in pairs(without_own_peer()) do
      local gateway, service = case[1], case[2]
      gateway:add_upstream("ill", { targets = { "10.0.0.3:80" }, unhealthy = true })
      local own = service and service.host or "stable"
      local plan = gateway:plan(message.config({ "canary", "ill", own }))
      for _, decision in ipairs({
        message.none(plan), message.route(plan, "22"), message.route(plan, "22", "ill"),
        message.route(plan, "22", own), false,
      }) do
        local request = gateway:request({ plan = plan, service = service })
        if decision then
          request:decide(decision)
        end
        request:connect()
        check.equal({ request.status, request.tries }, { 503, {} }, how)
        request:run("header_filter")
        check.equal(request.seen_headers()["X-Kong-Route-Upstream"], nil, how)
        request:run("log")
      end
      check.contains(table.concat(gateway.log, "\n"), 'the service\'s own upstream "' .. own
                                                      .. '" cannot be asked: ')
    end
  end },

  { "a service's own upstream without a peer: Kong answers where no filter decides", function()
    for how, case in pairs(without_own_peer()) do
      local gateway, service = case[1], case[2]
      local plan = gateway:plan(message.config({ "canary" }))
      for _, options in ipairs({
        {}, { plan = plan, buffered = true }, { plan = gateway:plan(message.config({})) },
        { plan = gateway:plan({ name = "other", config = "{}" }) },
      }) do
        options.service = service
        check.equal(gateway:request(options).status, 503, how)
      end
    end
  end },

  { "an unknown Upstream", function()
    fails(new_gateway(), "nowhere", "unknown-upstream")
    fails(new_gateway(), "nowhere", "unknown-upstream", {
      service = { name = "shop", host = "192.0.2.7", port = 8080, protocol = "http" },
    })
  end },

  { "an Upstream that the configuration does not name", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "stable-2"))
    request:finish()
    check.equal(request.seen_headers()["X-Kong-Route-Error"], "unknown-upstream")
  end },

  { "an Upstream without targets", function()
    local gateway = new_gateway()
    gateway:add_upstream("empty", { targets = {} })
    fails(gateway, "empty", "no-healthy-target")
  end },

  { "an Upstream with unhealthy targets only", function()
    local gateway = new_gateway()
    gateway:add_upstream("ill", { targets = { "10.0.0.3:80" }, unhealthy = true })
    fails(gateway, "ill", "no-healthy-target")
  end },

  { "an Upstream whose balancer finds no peer although it is healthy", function()
    local gateway = new_gateway()
    gateway:add_upstream("busy", {
      targets = { "10.0.0.3:80" }, getpeer_fails = "No peers are available", host_header = "x.example",
    })
    fails(gateway, "busy", "no-healthy-target")
    check.contains(gateway.log[1], "No peers are available")
  end },

  { "a name that is in no cache and would have to be asked for", function()
    local gateway = new_gateway()
    gateway:add_upstream("named", {
      targets = { "api.internal:80" }, hash_on = "cookie", hash_on_cookie = "s",
      getpeer_fails = "dns client error: 101 empty record received",
    })
    fails(gateway, "named", "no-healthy-target")
  end },

  { "a certificate is presented by nobody who is not asked", function()
    local gateway = new_gateway()
    gateway:add_upstream("ill", {
      targets = { "10.0.0.3:80" }, unhealthy = true, client_certificate = true,
    })
    fails(gateway, "ill", "no-healthy-target", {
      service = { name = "shop", host = "stable", port = 443, protocol = "https" },
    })
    check.equal(gateway.presented, nil)
  end },

  { "a balancer that throws", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    gateway:pool("canary").getPeer = function()
      error("boom")
    end
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    request:finish()
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(request.sent["x-tse-route-decision"], nil)
    check.equal(request.seen_headers(), { ["X-Kong-Route-Error"] = "bridge-failure" })
    check.contains(gateway.log[1], "boom")
  end },

  { "a request without a balancer's data", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local request = gateway:request({ plan = plan })
    local data = request.ctx.balancer_data
    request.ctx.balancer_data = nil
    gateway.phases.balancer = gateway.phases.balancer
    local own = request.own_balancer
    request.own_balancer = function(this)
      this.ctx.balancer_data = data
      return own(this)
    end
    request:decide(message.route(plan, "22", "canary"))
    check.equal(request:finish().tries, { "10.0.0.1:80" })
  end },

  { "an error in preparing does not fail the request", function()
    local gateway = new_gateway()
    gateway.ngx.req.set_header = function()
      error("no memory")
    end
    local config = '{"rules":[{"upstream":[{"name":"canary"}],"circuit_breaker":{}}]}'
    local breaking = gateway:plan(config)
    local failed = gateway:request({ plan = breaking })
    failed:decide(message.of(breaking, { rule = "22", upstream = "canary", breaker = 1 }))
    failed:finish({ status = 502, by_nginx = true })
    local request = gateway:request({ plan = breaking })
    check.contains(gateway.log[1], "no memory")
    check.equal(request:connect():destination(), "10.0.0.1:80 10.0.0.1")
  end },

  { "a request that is on its way is not sent elsewhere by a retry", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local request = gateway:request({ plan = plan }):connect()
    request:decide(message.route(plan, "22", "canary"))
    request:run("balancer")
    check.equal(request.tries, { "10.0.0.1:80", "10.0.0.1:80" })
  end },
}
