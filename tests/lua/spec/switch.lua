-- Switching to another Upstream: from every kind of service, to every kind of Upstream.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local IP_SERVICE = { name = "shop", host = "192.0.2.7", port = 8080, protocol = "http" }
local DNS_SERVICE = { name = "shop", host = "backend.internal", port = 8080, protocol = "http" }


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:8001" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:8002" } })
  gateway.dns["backend.internal"] = "10.0.0.9"
  return gateway
end


-- A request that a filter sends to the Upstream `name`, connected.
local function routed(gateway, name, options)
  options = options or {}
  options.plan = gateway:plan(message.config({ name }))
  local request = gateway:request(options)
  request:decide(message.route(options.plan, "22", name))
  return request:connect()
end


return {
  { "from a service with an Upstream", function()
    local request = routed(new_gateway(), "canary")
    check.equal(request:destination(), "10.0.0.2:8002 10.0.0.2:8002")
    check.equal(request.ctx.balancer_data.host, "canary")
    check.equal(request.ctx.balancer_data.upstream.name, "canary")
  end },

  { "from a service with an IP address", function()
    local request = routed(new_gateway(), "canary", { service = IP_SERVICE })
    check.equal(request:destination(), "10.0.0.2:8002 10.0.0.2:8002")
    check.equal(request.ctx.balancer_data.type, "name")
  end },

  { "from a service with a DNS name", function()
    local request = routed(new_gateway(), "canary", { service = DNS_SERVICE })
    check.equal(request:destination(), "10.0.0.2:8002 10.0.0.2:8002")
  end },

  { "without a decision the service's own peer serves", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    for _, service in ipairs({ IP_SERVICE, DNS_SERVICE }) do
      local request = gateway:request({ plan = plan, service = service }):connect()
      check.equal(request.tries, { (service == IP_SERVICE and "192.0.2.7" or "10.0.0.9") .. ":8080" })
    end
    check.equal(gateway:request():connect():destination(), "10.0.0.1:8001 10.0.0.1:8001")
  end },

  { "preserve_host keeps the client's Host", function()
    local request = routed(new_gateway(), "canary", { preserve_host = "shop.example" })
    check.equal(request:destination(), "10.0.0.2:8002 shop.example")
  end },

  { "host_header of the Upstream becomes the Host", function()
    local gateway = new_gateway()
    gateway:add_upstream("named", { targets = { "10.0.0.3:80" }, host_header = "named.example" })
    check.equal(routed(gateway, "named"):destination(), "10.0.0.3:80 named.example")
  end },

  { "a target's name becomes the Host, and is not asked for", function()
    local gateway = new_gateway()
    gateway:add_upstream("named", { targets = { "api.internal:80" } })
    check.equal(routed(gateway, "named"):destination(), "10.9.0.1:80 api.internal")
  end },

  { "a service with https keeps its scheme, and its port rule for Host", function()
    local gateway = new_gateway()
    gateway:add_upstream("secure", { targets = { "secure.internal:443" } })
    local request = routed(gateway, "secure", {
      service = { name = "shop", host = "stable", port = 443, protocol = "https" },
    })
    check.equal(request:destination(), "10.9.0.1:443 secure.internal")
    check.equal(request.ctx.balancer_data.scheme, "https")
    check.equal(request.var.upstream_scheme, "https")
  end },

  { "a gRPC service gets the :authority of the new peer", function()
    local gateway = new_gateway()
    routed(gateway, "canary", {
      service = { name = "shop", host = "stable", port = 80, protocol = "grpc" },
    })
    check.equal(gateway.authority, "10.0.0.2:8002")
  end },

  { "retries stay within the new Upstream", function()
    local gateway = new_gateway()
    gateway:add_upstream("pair", { targets = { "10.0.0.4:80", "10.0.0.5:80" } })
    local request = routed(gateway, "pair"):finish({ refused = 1, status = 200 })
    check.equal(request.tries, { "10.0.0.4:80", "10.0.0.5:80" })
    check.equal(gateway:pool("pair").reports, { "10.0.0.4:80 refused", "10.0.0.5:80 200" })
    check.equal(gateway:pool("stable").reports, {})
  end },

  { "health is reported, and balancing finished, at the new Upstream only", function()
    local gateway = new_gateway()
    routed(gateway, "canary"):finish({ status = 503 })
    check.equal(gateway:pool("canary").reports, { "10.0.0.2:8002 503" })
    check.equal(gateway:pool("canary").finished, 1)
    check.equal(gateway:pool("stable").reports, {})
    check.equal(gateway:pool("stable").finished, 0)
  end },

  { "the service's own Upstream by name is kept with its peer", function()
    local gateway = new_gateway()
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80", "10.0.0.6:80" } })
    local plan = gateway:plan(message.config({ "stable" }))
    local request = gateway:request({ plan = plan })
    local own = request.ctx.balancer_data.ip
    request:decide(message.route(plan, "22", "stable"))
    request:finish()
    check.equal(request.tries, { own .. ":80" })
    check.equal(request.seen_headers()["X-Kong-Route-Upstream"], "stable")
  end },

  { "another decision takes the place of the first", function()
    local gateway = new_gateway()
    gateway:add_upstream("beta", { targets = { "10.0.0.3:80" } })
    local plan = gateway:plan(message.config({ "canary", "beta" }))
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    request:decide(message.route(plan, "30", "beta"))
    request:finish()
    check.equal(request:destination(), "10.0.0.3:80 10.0.0.3")
    check.equal(request.seen_headers()["X-Kong-Route-Rule"], "30")
  end },

  { "a decision that the body takes back leaves no trace", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    request:decide(message.none(plan))
    request:finish()
    check.equal(request:destination(), "10.0.0.1:8001 10.0.0.1:8001")
    check.equal(request.seen_headers(), {})
    check.equal(request:shared(), {})
    check.equal(request.sent["x-tse-route-decision"], nil)
    check.equal(gateway.log, {})
  end },

  { "of two filters in a chain the later one's decision holds", function()
    local gateway = new_gateway()
    gateway:add_upstream("beta", { targets = { "10.0.0.3:80" } })
    local plan = gateway:plan(message.config({ "canary" }), message.config({ "beta" }))
    local request = gateway:request({ plan = plan })
    request:decide(message.of(plan, { rule = "22", upstream = "canary" }, 1))
    request:decide(message.of(plan, { rule = "30", upstream = "beta" }, 2))
    check.equal(request:connect():destination(), "10.0.0.3:80 10.0.0.3")
  end },

  { "a second filter of the same text is told apart by nobody, and works", function()
    local gateway = new_gateway()
    local config = message.config({ "canary" })
    local plan = gateway:plan(config, config)
    local request = gateway:request({ plan = plan })
    request:decide(message.of(plan, { rule = "22", upstream = "canary" }, 2))
    check.equal(request:connect():destination(), "10.0.0.2:8002 10.0.0.2:8002")
  end },

  { "Kong 3.4 has its uuid elsewhere", function()
    local gateway = Gateway.started({ version = "3.4.2", old_uuid = true })
    gateway:add_upstream("stable", { targets = { "10.0.0.1:8001" } })
    gateway:add_upstream("canary", { targets = { "10.0.0.2:8002" } })
    check.equal(routed(gateway, "canary"):destination(), "10.0.0.2:8002 10.0.0.2:8002")
  end },
}
