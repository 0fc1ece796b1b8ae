-- A Kong that the bridge does not know: one clear line, nothing wrapped, no error.

local check = require "check"
local Gateway = require "standin.gateway"


-- What the bridge would wrap.
local function functions_of(gateway)
  local found = {}
  for _, name in ipairs({ "access", "balancer", "header_filter", "log" }) do
    found[name] = gateway.phases[name]
  end
  local proxy_wasm = gateway.modules["resty.wasmx.proxy_wasm"] or {}
  found.new, found.attach = proxy_wasm.new, proxy_wasm.attach
  return found
end


-- Starts the bridge; returns its gateway and whether it has wrapped anything.
local function start(options)
  local gateway = Gateway.new(options)
  local before = functions_of(gateway)
  gateway.handler:init_worker()
  local wrapped = 0
  for name, found in pairs(functions_of(gateway)) do
    wrapped = wrapped + (found ~= before[name] and 1 or 0)
  end
  return gateway, wrapped
end


-- The bridge must refuse, with a line that contains `reason`.
local function refuses(options, reason)
  local gateway, wrapped = start(options)
  check.equal(#gateway.log, 1, "log lines")
  check.contains(gateway.log[1], "tse-route-bridge does not start: ")
  check.contains(gateway.log[1], reason)
  check.equal(wrapped, 0)

  -- An instance does no harm.
  gateway.handler:header_filter({ prometheus = true })
  gateway.handler:header_filter({ prometheus = false })
end


local function starts(options)
  local gateway, wrapped = start(options)
  check.equal(gateway.log, {})
  check.equal(wrapped, 6)
end


-- Stays away without a word.
local function silent(options)
  local gateway, wrapped = start(options)
  check.equal(gateway.log, {})
  check.equal(wrapped, 0)
end


local tests = {
  { "Kong 3.4 to 3.9 are known", function()
    for _, version in ipairs({ "3.4.0", "3.5.0", "3.6.0", "3.7.1", "3.8.1", "3.9.0", "3.9.3", "3.9.1.2" }) do
      starts({ version = version })
    end
  end },

  { "other versions are refused by name", function()
    for _, version in ipairs({ "3.3.1", "3.10.0", "3.90.0", "2.8.1", "4.6.0", "13.9.0", "x" }) do
      refuses({ version = version }, "this is Kong " .. version)
    end
  end },

  { "Kong without WebAssembly is refused", function()
    refuses({ wasm = false }, "KONG_WASM=on")
    -- There the module of filters cannot even be loaded.
    refuses({ wasm = false, without = { "resty.wasmx.proxy_wasm" } }, "KONG_WASM=on")
  end },

  { "all that is missing is named at once", function()
    refuses({ without = { "kong.runloop.balancer.set_host_header", "resty.wasmx.proxy_wasm.attach",
                          "kong.runloop.balancer.balancers", "Kong.balancer" } },
            "this Kong 3.9.3 lacks resty.wasmx.proxy_wasm.attach, kong.runloop.balancer.set_host_header, "
            .. "kong.runloop.balancer.balancers, Kong.balancer")
  end },

  { "a module that is no table is refused", function()
    local gateway = Gateway.new()
    package.loaded["kong.runloop.balancer.balancers"] = true
    gateway.handler:init_worker()
    check.contains(gateway.log[1], "lacks kong.runloop.balancer.balancers")
  end },

  { "an error while starting is logged and goes no further", function()
    local gateway = Gateway.new()
    gateway.modules["kong.runloop.wasm"].enabled = function()
      error("not today")
    end
    local before = functions_of(gateway)
    gateway.handler:init_worker()
    check.equal(#gateway.log, 1)
    check.contains(gateway.log[1], "not today")
    check.equal(functions_of(gateway), before)
  end },

  { "the filter is told of the bridge only when the rest is in place", function()
    local gateway = Gateway.new()
    gateway.kong.worker_events.register = function()
      error("no events")
    end
    local before = functions_of(gateway)
    gateway.handler:init_worker()
    check.contains(gateway.log[1], "no events")
    check.equal(functions_of(gateway), before)
  end },

  { "the stream subsystem and a control plane have nothing to bridge", function()
    silent({ subsystem = "stream" })
    silent({ role = "control_plane", wasm = false })
    starts({ role = "data_plane" })
  end },
}


for _, path in ipairs({
  "kong.runloop.wasm", "kong.runloop.wasm.enabled",
  "resty.wasmx.proxy_wasm", "resty.wasmx.proxy_wasm.new", "resty.wasmx.proxy_wasm.load",
  "resty.wasmx.proxy_wasm.attach",
  "kong.runloop.balancer", "kong.runloop.balancer.execute", "kong.runloop.balancer.set_host_header",
  "kong.runloop.balancer.get_upstream_by_name",
  "kong.runloop.balancer.balancers", "kong.runloop.balancer.balancers.get_balancer_by_id",
  "kong.runloop.balancer.balancers.create_balancer",
  "kong.runloop.certificate", "kong.runloop.certificate.get_certificate",
  "resty.kong.tls", "resty.kong.tls.set_upstream_cert_and_key",
  "ngx.balancer", "ngx.balancer.recreate_request", "ngx.req", "ngx.req.add_header",
  "kong.tools.uuid", "cjson.safe", "Kong.access", "Kong.balancer", "Kong.header_filter", "Kong.log",
}) do
  tests[#tests + 1] = { "a Kong without " .. path .. " is refused", function()
    refuses({ without = { path } }, "lacks " .. path)
  end }
end


return tests
