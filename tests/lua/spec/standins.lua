-- The stand-ins themselves: a test must be able to fail.

local check = require "check"
local json = require "standin.json"
local Gateway = require "standin.gateway"


return {
  { "a setter that throws, fails or is set again after a constant traps", function()
    local gateway = Gateway.started()
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
    local request = gateway:request()
    gateway.properties.add_setter("throws", function() error("x") end)
    gateway.properties.add_setter("fails", function() return false end)
    gateway.properties.add_setter("constant", function() return true, "x", true end)
    for _, name in ipairs({ "throws", "fails", "absent" }) do
      local ok, err = pcall(request.set, request, name, "v")
      check.equal(ok, false)
      check.contains(err, "trap")
    end
    request:set("constant", "v")
    check.equal(pcall(request.set, request, "constant", "v"), false)
  end },

  { "a handle that is dropped stays counted", function()
    local gateway = Gateway.started()
    local pool = gateway:add_upstream("stable",
      { targets = { "10.0.0.1:80" }, algorithm = "least-connections" })
    local request = gateway:request()
    request.ctx.balancer_data.balancer_handle = nil
    request:finish()
    check.equal(pool.connections(), 1)
  end },

  { "a balancer that is begun inside a filter's call is never built", function()
    local gateway = Gateway.started()
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
    gateway:add_upstream("fresh", { targets = { "10.0.0.2:80" }, unbuilt = true })
    local request = gateway:request()
    local balancers = gateway.modules["kong.runloop.balancer.balancers"]
    gateway.properties.add_setter("begins", function() return balancers.of("fresh") end)
    check.equal(pcall(request.set, request, "begins", "v"), false)
    local normal, status = gateway:request({
      service = { name = "fresh", host = "fresh", port = 80, protocol = "http" },
    })
    check.equal(normal, nil)
    check.equal(status, 500)
  end },

  { "an upstream's header is added to one that is already set", function()
    local gateway = Gateway.started()
    gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
    local request = gateway:request()
    request.header["X-A"] = "1"
    request.append_header("x-a", "2")
    request.header["X-B"] = "1"
    check.equal(request.header["X-A"], "1")
    check.equal(request.seen_headers(), { ["X-A"] = "1", ["x-a"] = "2", ["X-B"] = "1" })
    request.header["X-A"] = "3"
    check.equal(request.seen_headers(), { ["X-A"] = "3", ["X-B"] = "1" })
  end },

  { "a service without a healthy target answers 503 before any filter", function()
    local gateway = Gateway.started()
    gateway:add_upstream("stable", { targets = {} })
    local request, status = gateway:request()
    check.equal(request, nil)
    check.equal(status, 503)
  end },

  { "JSON", function()
    check.equal(json.decode(' {"a":[1,true,{"b":"c\\n"}],"d":null} '),
                { a = { 1, true, { b = "c\n" } }, d = json.null })
    for _, broken in ipairs({ "", "{", '{"a"}', "[1,]", "tru", '"', "{} {}", '{"a":1,}' }) do
      check.equal(json.decode(broken), nil, broken)
    end
  end },
}
