-- Client certificates for upstreams.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


-- A request after its first connection. own, chosen: settings of the two Upstreams; service: settings,
-- and `fails`, `stays`, `request` (options of the request).
local function connected(own, chosen, service)
  local gateway = Gateway.started()
  own.targets, chosen.targets = { "10.0.0.1:443" }, { "10.0.0.2:443" }
  gateway:add_upstream("stable", own)
  gateway:add_upstream("canary", chosen)
  local plan = gateway:plan(message.config({ "canary" }))
  service = service or {}
  service.name, service.host, service.port = "shop", "stable", 443
  service.protocol = service.protocol or "https"
  gateway.certificate_fails = service.fails
  local options = service.request or {}
  options.plan, options.service = plan, service
  local request = gateway:request(options)
  if not service.stays then
    request:decide(message.route(plan, "22", "canary"))
  end
  request:connect()
  check.equal(request.tries, { service.stays and "10.0.0.1:443" or "10.0.0.2:443" })
  check.equal(rawequal(request.ctx.service, service), true, "the service is the service again")
  return request, gateway
end


-- Which certificate is presented, and the log.
local function presented(...)
  local _, gateway = connected(...)
  return gateway.presented, gateway.log
end


-- What Kong keeps the connection by.
local function pool(...)
  return connected(...).pool
end


return {
  { "that of the chosen Upstream", function()
    local one, log = presented({}, { client_certificate = true })
    check.equal({ one, log }, { "certificate of canary", {} })
    one, log = presented({ client_certificate = true }, { client_certificate = true })
    check.equal({ one, log }, { "certificate of canary", {} })
    check.equal((presented({}, { client_certificate = true }, { protocol = "grpcs" })),
                "certificate of canary")
  end },

  { "that of the service's own Upstream, for what stays there", function()
    local one, log = presented({ client_certificate = true }, {}, { stays = true })
    check.equal({ one, log }, { "certificate of stable", {} })
  end },

  { "none where the request leaves an Upstream with one for another without", function()
    for _, protocol in ipairs({ "https", "grpcs" }) do
      local one, log = presented({ client_certificate = true }, {}, { protocol = protocol })
      check.equal({ one, log }, { nil, {} })
    end
  end },

  { "that of the service goes before it", function()
    for _, stays in ipairs({ true, false }) do
      local one, log = presented({ client_certificate = true }, { client_certificate = true },
                                 { client_certificate = { id = "x" }, stays = stays })
      check.equal({ one, log }, { nil, {} }, "what Kong has set stays")
    end
  end },

  { "without TLS nobody presents any", function()
    check.equal((presented({}, { client_certificate = true }, { protocol = "http" })), nil)
  end },

  { "Kong asks the upstream in its access phase: nothing is changed there", function()
    local request = { buffered = true }
    check.equal((presented({ client_certificate = true }, {}, { stays = true, request = request })),
                "certificate of stable")
    request = { buffered = true, vars = { upstream_upgrade = "websocket" } }
    check.equal((presented({ client_certificate = true }, {}, { stays = true, request = request })),
                "certificate of stable")
  end },

  { "connections are kept by the certificate that they were made with", function()
    local function certified()
      return { client_certificate = true }
    end
    local first, second = "10.0.0.1|443|10.0.0.1", "10.0.0.2|443|10.0.0.2"
    check.equal(pool({}, {}, { stays = true }), first .. "|tse-route")
    check.equal(pool(certified(), {}, { stays = true }), first .. "|id of stable")
    check.equal(pool(certified(), {}), second .. "|tse-route")
    check.equal(pool({}, certified()), second .. "|id of canary")
    check.equal(pool(certified(), certified()), second .. "|id of canary")
    check.equal(pool(certified(), certified(), { client_certificate = { id = "x" } }), second .. "|x")
    check.equal(pool({}, { client_certificate = "missing" }), second .. "|tse-route")
    check.equal(pool({}, certified(), { protocol = "grpcs" }), second .. "|id of canary")
    check.equal(pool({}, certified(), { protocol = "http" }), "10.0.0.2|443")
  end },

  { "a retry keeps both", function()
    local request, gateway = connected({ client_certificate = true }, { client_certificate = true })
    local first = request.pool
    request:finish({ refused = 1 })
    check.equal({ request.pool, gateway.presented }, { first, "certificate of canary" })
  end },

  { "Kong ends its phase in the middle: plugins see the service all the same", function()
    for _, phase in ipairs({ "access", "balancer" }) do
      local gateway = Gateway.started()
      gateway:add_upstream("stable", {
        targets = { "10.0.0.1:443" }, client_certificate = true, getpeer_fails = phase == "access" and "x" or nil,
      })
      local service = { name = "shop", host = "stable", port = 443, protocol = "grpcs" }
      local request = gateway:request({
        -- With no Upstream to go to, Kong's own answer stands.
        plan = gateway:plan(message.config(phase == "access" and {} or { "canary" })),
        service = service, exits = phase == "balancer",
      })
      if phase == "balancer" then
        request:connect()
      end
      check.equal(rawequal(request.ctx.service, service), false)
      if phase == "balancer" then
        check.equal(request.ctx.balancer_data.scheme, "https")
      end
      request:run("header_filter")
      check.equal(rawequal(request.ctx.service, service), true)
      check.equal(request.ctx.balancer_data.scheme, "grpcs")
      request:run("log")
    end
  end },

  { "one that cannot be had, or not be used, is told in the log", function()
    local one, log = presented({}, { client_certificate = "missing" })
    check.equal(one, nil)
    check.contains(log[1], 'the client certificate of upstream "canary" cannot be used: '
                           .. "no such certificate")
    one, log = presented({}, { client_certificate = true }, { fails = "no key" })
    check.equal(one, nil)
    check.contains(log[1], "no key")
  end },
}
