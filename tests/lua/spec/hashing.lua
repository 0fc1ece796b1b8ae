-- An Upstream's own hashing: the value that Kong would take.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


-- What an Upstream of these settings is asked to hash, and the cookie that is issued.
local function hashed(settings, options)
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  settings.targets = settings.targets or { "10.0.1.1:80", "10.0.1.2:80" }
  settings.algorithm = "consistent-hashing"
  local pool = gateway:add_upstream("hashed", settings)
  options = options or {}
  options.plan = gateway:plan(message.config({ "hashed" }))
  local request = gateway:request(options)
  request:decide(message.route(options.plan, "22", "hashed"))
  request:finish()
  check.equal(request:destination():match("^10%.0%.1%.[12]:80"), request.tries[1])
  return pool.hash_value, request.seen_headers()["Set-Cookie"]
end


return {
  { "none", function()
    check.equal(hashed({ hash_on = "none" }), "")
    check.equal(hashed({}), "")
  end },

  { "consumer, or the credential", function()
    local settings = { hash_on = "consumer" }
    check.equal(hashed(settings, { ctx = { authenticated_consumer = { id = "ann" },
                                           authenticated_credential = { id = "key" } } }), "ann")
    check.equal(hashed(settings, { ctx = { authenticated_credential = { id = "key" } } }), "key")
    check.equal(hashed(settings), "")
  end },

  { "ip", function()
    check.equal(hashed({ hash_on = "ip" }, { vars = { remote_addr = "192.0.2.1" } }), "192.0.2.1")
  end },

  { "header, all copies joined", function()
    local settings = { hash_on = "header", hash_on_header = "X-User" }
    check.equal(hashed(settings, { headers = { { "x-user", "ann" } } }), "ann")
    check.equal(hashed(settings, { headers = { { "x-user", "ann" }, { "X-User", "bob" } } }), "ann, bob")
    check.equal(hashed(settings), "")
  end },

  { "path", function()
    check.equal(hashed({ hash_on = "path" }, { vars = { uri = "/a b" } }), "/a b")
  end },

  { "query_arg: repeated values are sorted, flags are words", function()
    local settings = { hash_on = "query_arg", hash_on_query_arg = "user" }
    check.equal(hashed(settings, { args = { user = "ann" } }), "ann")
    check.equal(hashed(settings, { args = { user = { "b", true, "a" } } }), "a,b,true")
    check.equal(hashed(settings, { args = { user = true } }), "true")
    check.equal(hashed(settings, { args = { other = "x" } }), "")
  end },

  { "uri_capture, by name or by number", function()
    local matches = { router_matches = { uri_captures = { [0] = "/users/7", "7", id = "seven" } } }
    check.equal(hashed({ hash_on = "uri_capture", hash_on_uri_capture = "id" }, { ctx = matches }),
                "seven")
    check.equal(hashed({ hash_on = "uri_capture", hash_on_uri_capture = 1 }, { ctx = matches }), "7")
    check.equal(hashed({ hash_on = "uri_capture", hash_on_uri_capture = "id" }), "")
  end },

  { "cookie: the client's, or a new one with its path", function()
    local settings = { hash_on = "cookie", hash_on_cookie = "sticky", hash_on_cookie_path = "/shop" }
    local value, issued = hashed(settings, { vars = { cookie_sticky = "mine" } })
    check.equal({ value, issued }, { "mine" })

    value, issued = hashed(settings)
    check.equal(#value, 36)
    check.equal(issued, "sticky=" .. value .. "; Path=/shop")
  end },

  { "a fallback of every kind", function()
    local settings = { hash_on = "header", hash_on_header = "x-user", hash_fallback = "ip" }
    check.equal(hashed(settings, { vars = { remote_addr = "192.0.2.1" } }), "192.0.2.1")
    check.equal(hashed(settings, { headers = { { "x-user", "ann" } } }), "ann")

    settings.hash_fallback, settings.hash_fallback_header = "header", "x-tenant"
    check.equal(hashed(settings, { headers = { { "x-tenant", "acme" } } }), "acme")

    settings.hash_fallback, settings.hash_fallback_query_arg = "query_arg", "u"
    check.equal(hashed(settings, { args = { u = "bob" } }), "bob")

    settings.hash_fallback, settings.hash_fallback_uri_capture = "uri_capture", "id"
    check.equal(hashed(settings, { ctx = { router_matches = { uri_captures = { id = "7" } } } }), "7")

    settings.hash_fallback, settings.hash_on_cookie = "cookie", "sticky"
    local value, issued = hashed(settings)
    check.equal(issued, "sticky=" .. value)

    settings.hash_fallback = "none"
    check.equal(hashed(settings), "")
  end },

  { "a way to hash that is not known yet hashes nothing", function()
    check.equal(hashed({ hash_on = "moon", hash_fallback = "ip" }, { vars = { remote_addr = "::1" } }),
                "::1")
    check.equal(hashed({ hash_on = "moon", hash_fallback = "none" }), "")
  end },

  { "the cookie of the Upstream that is left is not issued", function()
    local gateway = Gateway.started()
    gateway:add_upstream("stable", {
      targets = { "10.0.0.1:80" }, algorithm = "consistent-hashing", hash_on = "cookie",
      hash_on_cookie = "own",
    })
    gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
    local plan = gateway:plan(message.config({ "canary" }))

    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "canary"))
    request:finish()
    check.equal(request.seen_headers()["Set-Cookie"], nil)

    request = gateway:request({ plan = plan }):finish()
    check.equal(request.seen_headers()["Set-Cookie"], "own=issued by Kong")
  end },

  { "retries ask for the same place", function()
    local gateway = Gateway.started()
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
    local pool = gateway:add_upstream("hashed", {
      targets = { "10.0.1.1:80", "10.0.1.2:80", "10.0.1.3:80" }, algorithm = "consistent-hashing",
      hash_on = "path",
    })
    local plan = gateway:plan(message.config({ "hashed" }))
    local request = gateway:request({ plan = plan, vars = { uri = "/7" } })
    request:decide(message.route(plan, "22", "hashed"))
    request:finish({ refused = 2 })
    check.equal({ request.tries[2], request.tries[3] }, { request.tries[1], request.tries[1] })
    check.equal(#pool.reports, 3)
  end },
}
