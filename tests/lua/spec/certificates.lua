-- Client certificates for upstreams.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


-- Which certificate is presented, and the log. own, chosen: settings of the two Upstreams.
local function presented(own, chosen, service)
  local gateway = Gateway.started()
  own.targets, chosen.targets = { "10.0.0.1:443" }, { "10.0.0.2:443" }
  gateway:add_upstream("stable", own)
  gateway:add_upstream("canary", chosen)
  local plan = gateway:plan(message.config({ "canary" }))
  service = service or {}
  service.name, service.host, service.port = "shop", "stable", 443
  service.protocol = service.protocol or "https"
  gateway.certificate_fails = service.fails
  local request = gateway:request({ plan = plan, service = service })
  request:decide(message.route(plan, "22", "canary"))
  check.equal(request:connect().tries, { "10.0.0.2:443" })
  return gateway.presented, gateway.log
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

  { "that of the service goes before it", function()
    local one, log = presented({ client_certificate = true }, { client_certificate = true },
                               { client_certificate = { id = "x" } })
    check.equal({ one, log }, { "certificate of stable", {} }, "what Kong has set stays")
  end },

  { "without TLS nobody presents any", function()
    check.equal((presented({}, { client_certificate = true }, { protocol = "http" })), nil)
  end },

  { "one that cannot be taken back is told in the log", function()
    local _, log = presented({ client_certificate = true }, {})
    check.equal(#log, 1)
    check.contains(log[1], 'requests that leave upstream "stable" for "canary" present the client '
                           .. "certificate of the former")
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
