-- Switching to another Upstream: from every kind of service, with every kind of Upstream.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local ROUTE, RESULT = "kong.tse_route.route", "kong.tse_route.result"


local function gateway_with_upstreams()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:8001" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:8002" } })
  gateway.dns["backend.internal"] = "10.0.0.9"
  return gateway
end


local IP_SERVICE = { name = "shop", host = "192.0.2.7", port = 8080, protocol = "http" }
local DNS_SERVICE = { name = "shop", host = "backend.internal", port = 8080, protocol = "http" }


return {
  { "from a service with an Upstream", function()
    local request = gateway_with_upstreams():request()
    check.equal(request:destination(), "10.0.0.1:8001 10.0.0.1:8001")
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "routed")
    check.equal(request:destination(), "10.0.0.2:8002 10.0.0.2:8002")
    check.equal(request.ctx.balancer_data.host, "canary")
    check.equal(request.ctx.balancer_data.upstream.name, "canary")
  end },

  { "from a service with an IP address", function()
    local request = gateway_with_upstreams():request({ service = IP_SERVICE })
    check.equal(request:destination(), "192.0.2.7:8080 192.0.2.7:8080")
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "routed")
    check.equal(request:destination(), "10.0.0.2:8002 10.0.0.2:8002")
    check.equal(request.ctx.balancer_data.type, "name")
  end },

  { "from a service with a DNS name", function()
    local request = gateway_with_upstreams():request({ service = DNS_SERVICE })
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "routed")
    check.equal(request:destination(), "10.0.0.2:8002 10.0.0.2:8002")
  end },

  { "preserve_host keeps the client's Host", function()
    local request = gateway_with_upstreams():request({ preserve_host = "shop.example" })
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:destination(), "10.0.0.2:8002 shop.example")
  end },

  { "host_header of the Upstream becomes the Host, and goes again with it", function()
    local gateway = gateway_with_upstreams()
    gateway:add_upstream("named", { targets = { "10.0.0.3:80" }, host_header = "named.example" })
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "named"))
    check.equal(request:destination(), "10.0.0.3:80 named.example")
    request:set(ROUTE, message.NONE)
    check.equal(request:destination(), "10.0.0.1:8001 10.0.0.1:8001")
  end },

  { "a service with https keeps its scheme, and its port rule for Host", function()
    local gateway = gateway_with_upstreams()
    gateway:add_upstream("secure", { targets = { "secure.internal:443" } })
    local request = gateway:request({
      service = { name = "shop", host = "stable", port = 443, protocol = "https" },
    })
    request:set(ROUTE, message.route("22", "secure"))
    check.equal(request:destination(), "10.9.0.1:443 secure.internal")
    check.equal(request.ctx.balancer_data.scheme, "https")
    check.equal(request.var.upstream_scheme, "https")
  end },

  { "a gRPC service gets the :authority of the new peer", function()
    local gateway = gateway_with_upstreams()
    local request = gateway:request({
      service = { name = "shop", host = "stable", port = 80, protocol = "grpc" },
    })
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(gateway.authority, "10.0.0.2:8002")
  end },

  { "retries stay within the new Upstream", function()
    local gateway = gateway_with_upstreams()
    gateway:add_upstream("pair", { targets = { "10.0.0.4:80", "10.0.0.5:80" } })
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "pair"))
    request:finish({ refused = 1, status = 200 })
    check.equal(request.addresses, { "10.0.0.4:80", "10.0.0.5:80" })
    check.equal(gateway:pool("pair").reports, { "10.0.0.4:80 refused", "10.0.0.5:80 200" })
    check.equal(gateway:pool("stable").reports, {})
  end },

  { "health is reported, and balancing finished, at the new Upstream only", function()
    local gateway = gateway_with_upstreams()
    local request = gateway:request()
    request:set(ROUTE, message.route("22", "canary"))
    request:finish({ status = 503 })
    check.equal(gateway:pool("canary").reports, { "10.0.0.2:8002 503" })
    check.equal(gateway:pool("canary").finished, 1)
    check.equal(gateway:pool("stable").reports, {})
    check.equal(gateway:pool("stable").finished, 0)
  end },

  { "retries of a restored DNS service ask for the service's name", function()
    local gateway = gateway_with_upstreams()
    local request = gateway:request({ service = DNS_SERVICE })
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.NONE)
    request:finish({ refused = 1 })
    check.equal(request.addresses, { "10.0.0.9:8080", "10.0.0.9:8080" })
  end },

  { "the service's own Upstream by name is kept with its peer", function()
    local gateway = gateway_with_upstreams()
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80", "10.0.0.6:80" } })
    local request = gateway:request()
    local before, executed = request:destination(), gateway.executed
    request:set(ROUTE, message.route("22", "stable"))
    check.equal(request:get(RESULT), "routed")
    check.equal(request.seen_headers()["X-Kong-Route-Upstream"], "stable")
    check.equal(request:destination(), before)
    request:set(ROUTE, message.NONE)
    check.equal(request:destination(), before)
    check.equal(request:get(RESULT), "none")
    check.equal(gateway.log, {})
    check.equal(gateway.executed, executed, "balancer runs")
  end },

  { "a hashing Upstream hashes anew, not with the first Upstream's value", function()
    local gateway = gateway_with_upstreams()
    gateway:add_upstream("by-user", {
      targets = { "10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80" }, algorithm = "consistent-hashing",
      hash_on = "header", hash_on_header = "user",
    })
    gateway:add_upstream("by-tenant", {
      targets = { "10.0.2.1:80", "10.0.2.2:80" }, algorithm = "consistent-hashing",
      hash_on = "header", hash_on_header = "tenant",
    })
    local request = gateway:request({
      service = { name = "shop", host = "by-tenant", port = 80, protocol = "http" },
      vars = { http_user = "ann", http_tenant = "acme" },
    })
    local tenant_peer = request:destination()
    request:set(ROUTE, message.route("22", "by-user"))
    check.equal(request.ctx.balancer_data.hash_value, "ann")
    request:set(ROUTE, message.NONE)
    check.equal(request.ctx.balancer_data.hash_value, "acme")
    check.equal(request:destination(), tenant_peer)
  end },

  { "a plugin's own hash value is there again after coming back", function()
    local gateway = gateway_with_upstreams()
    gateway:add_upstream("hashed", {
      targets = { "10.0.1.1:80", "10.0.1.2:80" }, algorithm = "consistent-hashing",
      hash_on = "header", hash_on_header = "user",
    })
    local request = gateway:request({
      service = { name = "shop", host = "hashed", port = 80, protocol = "http" },
    })
    request.ctx.balancer_data.hash_value = "set-by-a-plugin"
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request.ctx.balancer_data.hash_value, "")
    request:set(ROUTE, message.NONE)
    check.equal(request.ctx.balancer_data.hash_value, "set-by-a-plugin")
  end },

  { "the cookie of a cookie-hashing Upstream is issued for the one that serves", function()
    local gateway = gateway_with_upstreams()
    for _, name in ipairs({ "sticky-a", "sticky-b" }) do
      gateway:add_upstream(name, {
        targets = { "10.0.1.1:80" }, algorithm = "consistent-hashing",
        hash_on = "cookie", hash_on_cookie = name,
      })
    end
    local service = { name = "shop", host = "sticky-a", port = 80, protocol = "http" }

    local request = gateway:request({ service = service })
    request:set(ROUTE, message.route("22", "sticky-b"))
    request:finish()
    check.equal(request.seen_headers()["Set-Cookie"], "sticky-b=issued-2")

    request = gateway:request({ service = service })
    request:set(ROUTE, message.route("22", "canary"))
    request:finish()
    check.equal(request.seen_headers()["Set-Cookie"], nil, "cookie of an Upstream that did not serve")

    request = gateway:request({ service = service })
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.NONE)
    request:finish()
    check.equal(request.seen_headers()["Set-Cookie"], "sticky-a=issued-4")
  end },

  { "on a Kong that calls the filter before its balancer, that balancer does it", function()
    local gateway = Gateway.started({ version = "3.7.1" })
    local stable = gateway:add_upstream("stable",
      { targets = { "10.0.0.1:80" }, algorithm = "least-connections" })
    local canary = gateway:add_upstream("canary",
      { targets = { "10.0.0.2:80" }, algorithm = "least-connections" })
    local request = gateway:request({ balancer_later = true })
    request:set(ROUTE, message.route("22", "canary"))
    check.equal(request:get(RESULT), "routed")
    check.equal(gateway.executed, 0, "balancer runs")
    request:balance()
    check.equal(request:destination(), "10.0.0.2:80 10.0.0.2")
    check.equal({ stable.connections(), canary.connections() }, { 0, 1 })

    -- The body decides otherwise, when the balancer has run.
    request:set(ROUTE, message.NONE)
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal({ stable.connections(), canary.connections() }, { 1, 0 })
    request:finish()
    check.equal({ stable.connections(), canary.connections() }, { 0, 0 })
  end },

  { "on such a Kong a decision can be taken back before the balancer runs", function()
    local gateway = Gateway.started({ version = "3.6.0" })
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
    local request = gateway:request({ service = IP_SERVICE, balancer_later = true })
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.NONE)
    request:balance()
    check.equal(request:destination(), "192.0.2.7:8080 192.0.2.7:8080")
  end },
}
