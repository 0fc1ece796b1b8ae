-- The stand-ins themselves: a test must be able to fail.

local check = require "check"
local json = require "standin.json"
local request_headers = require "standin.request_headers"
local Gateway = require "standin.gateway"


-- The violations that `run` leads to. They are taken, so that they do not fail this test.
local function violations_of(run)
  Gateway.violations()
  pcall(run)
  return Gateway.violations()
end


local function with_plan()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" }, algorithm = "least-connections" })
  return gateway, gateway:plan("{}")
end


return {
  { "whatever could wait is a violation where Lua must not, even if the error is caught", function()
    local gateway = with_plan()
    local balancer = gateway.modules["kong.runloop.balancer"]
    local waiting = {
      ["looking up an Upstream"] = function()
        balancer.get_upstream_by_name("stable")
      end,
      ["building a balancer"] = function()
        gateway.modules["kong.runloop.balancer.balancers"].create_balancer(gateway.upstreams.stable)
      end,
      ["fetching a certificate"] = function()
        gateway.modules["kong.runloop.certificate"].get_certificate({ of = "x" })
      end,
      ["asking a name server"] = function()
        gateway:pool("stable"):getPeer(false)
      end,
      ["sleeping"] = function()
        gateway.ngx.sleep(0)
      end,
    }
    for what, wait in pairs(waiting) do
      for _, phase in ipairs({ "balancer", "header_filter", "log", "collector" }) do
        gateway.phase = phase
        check.equal(violations_of(wait), { what .. " in phase " .. phase })
      end
      gateway.phase = "access"
      check.equal(violations_of(wait), {})
    end
  end },

  { "a plan can be freed once, and by nobody but a timer", function()
    local gateway, plan = with_plan()
    local free = gateway.modules.ffi.C.ngx_http_wasm_ffi_plan_free
    for _, phase in ipairs({ "collector", "access", "balancer" }) do
      gateway.phase = phase
      check.equal(pcall(free, plan), false)
    end
    gateway.phase = "timer"
    free(plan)
    check.equal(pcall(free, plan), false)
  end },

  { "a handle that is dropped stays counted", function()
    local gateway = with_plan()
    local request = gateway:request():connect()
    request.ctx.balancer_data.balancer_handle = nil
    request:finish()
    check.equal(gateway:pool("stable").connections(), 1)
  end },

  { "what a filter removes, and further copies of what it sets, still reach the upstream", function()
    local list = request_headers.new({ { "X-A", "1" }, { "x-a", "2" }, { "X-B", "1" }, { "X_B", "2" } })
    check.equal(list:variable("x_a"), "1, 2")
    check.equal(list:variable("x_b"), "1, 2", "in every form")
    list:replace_by_filter("x-a", "new")
    check.equal(list:variable("x_a"), "new")
    check.equal(list:written()["x-a"], "new, 2")
    list:remove_by_filter("x-b")
    check.equal(list:variable("x_b"), "2")
    check.equal(list:written()["x-b"], "1")
    list:clear("x-b")
    check.equal(list:written()["x-b"], "1", "Lua does not see it any more")
  end },

  { "Lua reaches every copy, in exactly the form that it names", function()
    local list = request_headers.new({ { "X-A", "1" }, { "x-a", "2" }, { "X_A", "3" } })
    check.equal(list:by_name(), { ["X-A"] = "1", ["x-a"] = "2", ["X_A"] = "3" })
    list:clear("X-a")
    check.equal(list:by_name(), { ["X_A"] = "3" })
    list:set("X_A", "4")
    list:add("X_A", "5")
    check.equal(list:by_name(), { ["X_A"] = { "4", "5" } })
  end },

  { "the request is written before the balancer phase, and only then anew if asked to", function()
    local gateway = with_plan()
    local request = gateway:request({ headers = { { "X-A", "1" } }, preserve_host = "shop.example" })
    local before = gateway.phases.balancer
    gateway.phases.balancer = function()
      gateway.ngx.req.set_header("X-A", "2")
      return before()
    end
    check.equal(request:connect().sent["x-a"], "1")
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

  { "JSON", function()
    check.equal(json.decode(' {"a":[1,true,{"b":"c\\n"}],"d":null} '),
                { a = { 1, true, { b = "c\n" } }, d = json.null })
    for _, broken in ipairs({ "", "{", '{"a"}', "[1,]", "tru", '"', "{} {}", '{"a":1,}' }) do
      check.equal(json.decode(broken), nil, broken)
    end
  end },
}
