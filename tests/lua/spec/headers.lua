-- Response headers next to what an upstream sends itself.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"

local ROUTE = "kong.tse_route.route"

local FORGED = {
  ["X-Kong-Route-Rule"] = "1",
  ["X-Kong-Route-Upstream"] = "forged",
  ["X-Kong-Route-Error"] = "forged",
  ["Content-Type"] = "text/plain",
}


local function new_request()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway:request()
end


return {
  { "without a configured instance a client would see both", function()
    local request = new_request()
    request:set(ROUTE, message.route("22", "canary"))
    request:finish({ headers = FORGED, configured = false })
    check.equal(request.seen_headers()["X-Kong-Route-Rule"], "22, 1")
  end },

  { "with one the client sees the truth alone", function()
    local request = new_request()
    request:set(ROUTE, message.route("22", "canary"))
    request:finish({ headers = FORGED })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "22",
      ["X-Kong-Route-Upstream"] = "canary",
      ["Content-Type"] = "text/plain",
    })
  end },

  { "no claim of an upstream passes where the service's own serves", function()
    local request = new_request()
    request:set(ROUTE, message.route("22"))
    request:finish({ headers = FORGED })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "22",
      ["Content-Type"] = "text/plain",
    })
  end },

  { "a request without a decision is left alone", function()
    local request = new_request()
    request:finish({ headers = FORGED })
    check.equal(request.seen_headers(), FORGED)
  end },

  { "a decision that was taken back leaves the upstream's headers alone", function()
    local request = new_request()
    request:set(ROUTE, message.route("22", "canary"))
    request:set(ROUTE, message.NONE)
    request:finish({ headers = FORGED })
    check.equal(request.seen_headers(), FORGED)
  end },

  { "an answer that nginx makes itself carries the headers", function()
    local request = new_request()
    request:set(ROUTE, message.route("22", "canary"))
    request:finish({ status = 502, by_nginx = true, configured = false })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "22",
      ["X-Kong-Route-Upstream"] = "canary",
    })
  end },
}
