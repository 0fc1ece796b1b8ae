-- A Kong that the bridge does not know: one clear line, nothing registered, no error.

local check = require "check"
local Gateway = require "standin.gateway"


-- Starts the bridge on a Kong that it must refuse, with a line that contains `reason`.
local function refuses(options, reason)
  local gateway = Gateway.new(options)
  gateway.handler:init_worker()
  check.equal(#gateway.log, 1, "log lines")
  check.contains(gateway.log[1], "tse-route-bridge does not start: ")
  check.contains(gateway.log[1], reason)
  check.equal(gateway.properties.getters, {})
  check.equal(gateway.properties.setters, {})

  -- The other phases do no harm.
  gateway.handler:header_filter()
  gateway.handler:log({ prometheus = true })
end


local function starts(options)
  local gateway = Gateway.started(options)
  check.equal(gateway.log, {})
  check.truthy(gateway.properties.getters["kong.tse_route.bridge"], "getter")
end


-- Stays away without a word.
local function silent(options)
  local gateway = Gateway.started(options)
  check.equal(gateway.log, {})
  check.equal(gateway.properties.getters, {})
end


local tests = {
  { "Kong 3.6 to 3.9 are known", function()
    for _, version in ipairs({ "3.6.0", "3.7.1", "3.8.1", "3.9.0", "3.9.3", "3.9.1.2" }) do
      starts({ version = version })
    end
  end },

  { "other versions are refused by name", function()
    for _, version in ipairs({ "3.4.2", "3.5.0", "3.10.0", "3.90.0", "2.8.1", "4.6.0", "13.9.0", "x" }) do
      refuses({ version = version }, "this is Kong " .. version)
    end
  end },

  { "Kong without WebAssembly is refused", function()
    refuses({ wasm = false }, "KONG_WASM=on")
  end },

  { "all that is missing is named at once", function()
    refuses({ without = { "kong.runloop.balancer.execute", "kong.runloop.wasm.properties.add_setter",
                          "kong.runloop.balancer.balancers" } },
            "this Kong 3.9.3 lacks kong.runloop.wasm.properties.add_setter, "
            .. "kong.runloop.balancer.execute, kong.runloop.balancer.balancers")
  end },

  { "a module that is no table is refused", function()
    local gateway = Gateway.new()
    package.loaded["kong.runloop.balancer.balancers"] = true
    gateway.handler:init_worker()
    check.contains(gateway.log[1], "lacks kong.runloop.balancer.balancers")
    check.equal(gateway.properties.getters, {})
  end },

  { "an error while starting is logged and goes no further", function()
    local gateway = Gateway.new()
    gateway.modules["kong.runloop.wasm"].enabled = function()
      error("not today")
    end
    gateway.handler:init_worker()
    check.equal(#gateway.log, 1)
    check.contains(gateway.log[1], "not today")
    check.equal(gateway.properties.getters, {})
  end },

  { "the getter comes last: a setter that is refused leaves none", function()
    local gateway = Gateway.new()
    gateway.properties.add_setter = function()
      error("full")
    end
    gateway.handler:init_worker()
    check.contains(gateway.log[1], "full")
    check.equal(gateway.properties.getters["kong.tse_route.bridge"], nil)
  end },

  { "the stream subsystem and a control plane have nothing to bridge", function()
    silent({ subsystem = "stream" })
    silent({ role = "control_plane", wasm = false })
    starts({ role = "data_plane" })
  end },
}


for _, path in ipairs({
  "kong.runloop.wasm", "kong.runloop.wasm.enabled",
  "kong.runloop.wasm.properties.add_getter", "kong.runloop.wasm.properties.add_setter",
  "kong.runloop.wasm.properties.add_namespace_handlers",
  "kong.runloop.balancer", "kong.runloop.balancer.execute", "kong.runloop.balancer.set_host_header",
  "kong.runloop.balancer.get_upstream_by_name",
  "kong.runloop.balancer.balancers", "kong.runloop.balancer.balancers.get_balancer_by_id",
  "cjson.safe",
}) do
  tests[#tests + 1] = { "a Kong without " .. path .. " is refused", function()
    refuses({ without = { path } }, "lacks " .. path)
  end }
end


return tests
