-- Failed requests that no filter was called for reach the filter's circuit breakers.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local ROUTE, FAILURES = "kong.tse_route.route", "kong.tse_route.failures."
local BY_NGINX = { status = 502, by_nginx = true }


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway
end


local function serve(gateway, breaker, upstream, options)
  local request = gateway:request()
  request:set(ROUTE, message.of({ rule = "22", upstream = upstream, breaker = breaker }))
  request:finish(options)
end


local function failures(gateway, configuration)
  return gateway:request():get(FAILURES .. configuration)
end


return {
  { "an answer that nginx made is told once, to the configuration that decided", function()
    local gateway = new_gateway()
    serve(gateway, "7.1", "canary", BY_NGINX)
    serve(gateway, "7.1", "canary", BY_NGINX)
    serve(gateway, "7.10", "canary", BY_NGINX)
    serve(gateway, "8.1", "canary", BY_NGINX)
    check.equal(failures(gateway, "7"), "1=2,10=1")
    check.equal(failures(gateway, "7"), nil)
    check.equal(failures(gateway, "8"), "1=1")
  end },

  { "an answer of the service is the filter's to count", function()
    local gateway = new_gateway()
    serve(gateway, "7.1", "canary", { status = 503 })
    check.equal(failures(gateway, "7"), nil)
  end },

  { "a failure elsewhere is not the upstream's", function()
    local gateway = new_gateway()
    serve(gateway, "7.1", "nowhere", BY_NGINX)
    serve(gateway, nil, "canary", BY_NGINX)
    check.equal(failures(gateway, "7"), nil)
  end },

  { "a breaker that is none is ignored", function()
    local gateway = new_gateway()
    for _, breaker in ipairs({ "7", "7.", "x.1", "7.1.2", "7,1" }) do
      serve(gateway, breaker, "canary", BY_NGINX)
    end
    check.equal(failures(gateway, "7"), nil)
  end },

  { "configurations that nobody asks for do not pile up", function()
    local gateway = new_gateway()
    for configuration = 1, 257 do
      serve(gateway, configuration .. ".0", "canary", BY_NGINX)
    end
    check.equal(failures(gateway, "1"), nil)
    check.equal(failures(gateway, "257"), "0=1")
  end },
}
