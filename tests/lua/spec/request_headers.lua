-- Request headers: what a client may not send, and what a decision changes.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local FORMS = {
  "x-tse-route-decision", "X-Tse-Route-Decision", "X-TSE-ROUTE-DECISION", "x_tse_route_decision",
  "X-Tse_Route-Decision",
}


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  return gateway
end


-- The headers that the upstream gets, without Host.
local function sent(request)
  local all = {}
  for name, value in pairs(request.sent) do
    all[name] = name ~= "host" and value or nil
  end
  return all
end


-- Decides for `upstream` with these changes (JSON) of request headers; returns what is sent.
local function changed(changes, headers, options)
  local gateway = new_gateway()
  options = options or {}
  options.plan = gateway:plan(message.config({ "canary" }))
  options.headers = headers
  local request = gateway:request(options)
  request:decide(message.of(options.plan, {
    rule = "22", upstream = not options.own and "canary" or nil, request_headers = changes,
  }))
  return sent(request:connect()), request
end


return {
  { "a client's own decision is gone before any plugin runs, in every form and copy", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    for _, form in ipairs(FORMS) do
      for _, name in ipairs({ form, (form:gsub("([Dd])([Ee])[Cc].*$", "failures")) }) do
        local request = gateway:request({ plan = plan, headers = {
          { name, message.route(plan, "22", "canary") }, { "accept", "*/*" }, { name, "junk" },
        } })
        check.equal(request.seen_by_plugins, { accept = "*/*" }, name)
        request:connect()
        check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
        check.equal(sent(request), { accept = "*/*" })
      end
    end
  end },

  { "two forms at once", function()
    local gateway = new_gateway()
    local list = {}
    for _, form in ipairs(FORMS) do
      list[#list + 1] = { form, "forged" }
    end
    check.equal(gateway:request({ headers = list }).seen_by_plugins, {})
  end },

  { "also where no filter is attached", function()
    local request = new_gateway():request({ headers = { { "X_Tse_Route_Decision", "{}" } } })
    check.equal(sent(request:connect()), {})
  end },

  { "requests without one are not searched", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local request = gateway:request({ plan = plan, headers = { { "x-user", "ann" } } })
    request:decide(message.route(plan, "22", "canary"))
    request:finish()
    check.equal(gateway.walked, 0)
  end },

  { "a decision that a plugin lets in from outside is not one of this worker", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    for _, id in ipairs({ '"1"', '"1-0000"', "1", "null", '""' }) do
      local request = gateway:request({ plan = plan })
      request:decide('{"id":' .. id .. ',"rule":"22","upstream":"canary"}')
      request:finish()
      check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
      check.equal(request.seen_headers(), { ["X-Kong-Route-Error"] = "bridge-failure" })
    end
  end },

  { "nor is one of another chain", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local other = gateway:plan(message.config({ "canary", "stable" }))
    local request = gateway:request({ plan = plan })
    request:decide(message.route(other, "22", "canary"))
    check.equal(request:connect():destination(), "10.0.0.1:80 10.0.0.1")
  end },

  { "nothing of bridge and filter reaches the upstream", function()
    check.equal(changed(nil, { { "accept", "*/*" } }), { accept = "*/*" })
  end },

  { "nor on retries", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "pair" }))
    gateway:add_upstream("pair", { targets = { "a.internal:80", "b.internal:80" } })
    local request = gateway:request({ plan = plan })
    request:decide(message.route(plan, "22", "pair"))
    request:finish({ refused = 1 })
    check.equal(request:destination(), "10.9.0.2:80 b.internal")
    check.equal(sent(request), {})
  end },

  { "set replaces every copy, remove removes every copy, add adds", function()
    check.equal(changed('{"set":[["X-Lane","blue"]],"add":[["X-Tag","b"]],"remove":["X-Secret"]}', {
      { "x-lane", "1" }, { "X-LANE", "2" }, { "x-secret", "1" }, { "X-Secret", "2" }, { "x-tag", "a" },
      { "accept", "*/*" },
    }), { ["x-lane"] = "blue", ["x-tag"] = "a, b", accept = "*/*" })
  end },

  { "remove comes first, then set, then add", function()
    check.equal(changed('{"set":[["X-A","set"]],"add":[["X-A","added"]],"remove":["x-a"]}',
                        { { "x-a", "client" } }), { ["x-a"] = "set, added" })
  end },

  { "an empty value is sent", function()
    check.equal(changed('{"set":[["X-A",""]]}', { { "x-a", "client" } }), { ["x-a"] = "" })
  end },

  { "for the service's own upstream too", function()
    check.equal(changed('{"set":[["X-Lane","blue"]]}', {}, { own = true }), { ["x-lane"] = "blue" })
    check.equal(changed('{"set":[["X-Lane","blue"]]}', {}, {
      own = true, service = { name = "shop", host = "192.0.2.7", port = 8080, protocol = "http" },
    }), { ["x-lane"] = "blue" })
  end },

  { "with preserve_host, where the Host stays as it is", function()
    local all, request = changed('{"set":[["X-Lane","blue"]]}', {}, { preserve_host = "shop.example" })
    check.equal(all, { ["x-lane"] = "blue" })
    check.equal(request.sent.host, "shop.example")
  end },

  { "no changes where the decision is not followed", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "nowhere" }))
    local request = gateway:request({ plan = plan, headers = { { "x-lane", "client" } } })
    request:decide(message.of(plan, {
      rule = "22", upstream = "nowhere", request_headers = '{"set":[["X-Lane","blue"]]}',
    }))
    check.equal(sent(request:connect()), { ["x-lane"] = "client" })
  end },

  { "headers that Kong sends from variables of its own", function()
    local vars = { upstream_x_forwarded_for = "192.0.2.1", upstream_x_forwarded_proto = "http",
                   upstream_via = "1.1 kong", upstream_x_forwarded_prefix = "" }
    local _, request = changed(
      '{"set":[["X-Forwarded-Proto","https"]],"add":[["X-Forwarded-For","10.1.1.1"],'
      .. '["X-Forwarded-Prefix","/p"]],"remove":["Via"]}', {}, { vars = vars })
    check.equal(request.var.upstream_x_forwarded_proto, "https")
    check.equal(request.var.upstream_x_forwarded_for, "192.0.2.1, 10.1.1.1")
    check.equal(request.var.upstream_x_forwarded_prefix, "/p")
    check.equal(request.var.upstream_via, "")
  end },

  { "changes that are none are left out", function()
    check.equal(changed('{"set":[["X-A"],"x",["","v"],["X-B",7],["X-C","c"]],"add":null,"remove":["",7]}',
                        { { "x-a", "1" } }), { ["x-a"] = "1", ["x-c"] = "c" })
  end },

  { "route_by: header sets the header, and switches nothing", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "green" },
                                             ',"route_by":"header","upstream_header":"X-Target-Version"'))
    local request = gateway:request({ plan = plan })
    request:decide(message.of(plan, {
      rule = "50", upstream = "green", route_by = '{"header":"X-Target-Version","value":"green"}',
    }))
    request:finish()
    check.equal(request:destination(), "10.0.0.1:80 10.0.0.1")
    check.equal(sent(request), { ["x-target-version"] = "green" })
    check.equal(request.seen_headers(), {
      ["X-Kong-Route-Rule"] = "50", ["X-Kong-Route-Upstream"] = "green",
    })
    check.equal(gateway.log, {})
    check.equal(gateway.looked_up, 0, "look-ups of names that are no Upstreams")
  end },

  { "a client's own header of that name never passes, whatever is decided", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "green" },
                                             ',"route_by":"header","upstream_header":"X-Target-Version"'))
    for _, name in ipairs({ "X-Target-Version", "x-target-version", "X_Target_Version" }) do
      local forged = { { name, "green" }, { name, "blue" } }
      check.equal(sent(gateway:request({ plan = plan, headers = forged }):connect()), {}, name)

      local request = gateway:request({ plan = plan, headers = forged })
      request:decide(message.of(plan, {
        rule = "50", upstream = "red", route_by = '{"header":"X-Target-Version","value":"red"}',
      }))
      check.equal(sent(request:connect()), { ["x-target-version"] = "red" }, name)
    end
  end },

  { "elsewhere the header is the client's", function()
    local gateway = new_gateway()
    gateway:plan(message.config({ "green" },
                                ',"route_by":"header","upstream_header":"X-Target-Version"'))
    local plan = gateway:plan(message.config({ "canary" }))
    local headers = { { "X-Target-Version", "green" } }
    check.equal(sent(gateway:request({ headers = headers }):connect()), { ["x-target-version"] = "green" })
    check.equal(sent(gateway:request({ headers = headers, plan = plan }):connect()),
                { ["x-target-version"] = "green" })
  end },

  { "a plugin may set it, and is overruled as a client is", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "green" },
                                             ',"route_by":"header","upstream_header":"X-Target-Version"'))
    local request = gateway:request({ plan = plan, plugins = function(this)
      this.headers:set("X-Target-Version", "by-plugin")
    end })
    check.equal(sent(request:connect()), {})
  end },

  { "a request that cannot be written anew is told in the log", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local request = gateway:request({ plan = plan, preserve_host = "shop.example" })
    request:decide(message.route(plan, "22", "canary"))
    gateway.recreate_fails = "no memory"
    request:connect()
    check.contains(gateway.log[1], "the request cannot be written anew: no memory")
  end },
}
