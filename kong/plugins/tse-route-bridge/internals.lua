-- The parts of Kong that the bridge uses and that Kong promises to nobody: a Kong whose parts differ
-- is refused here, when it starts, rather than met in the middle of a request.

local ipairs = ipairs
local pcall = pcall
local require = require
local tonumber = tonumber
local tostring = tostring
local type = type


local M = {}


-- Before 3.4 there are no filters; after 3.9 nothing is known.
local FIRST_MINOR, LAST_MINOR = 4, 9

-- `uuid` has moved between versions.
local NEEDED = {
  { key = "wasm", names = { "kong.runloop.wasm" }, functions = { "enabled" } },
  { key = "proxy_wasm", names = { "resty.wasmx.proxy_wasm" }, functions = { "new", "load", "attach" } },
  { key = "balancer", names = { "kong.runloop.balancer" },
    functions = { "execute", "set_host_header", "get_upstream_by_name" } },
  { key = "balancers", names = { "kong.runloop.balancer.balancers" },
    functions = { "get_balancer_by_id", "create_balancer" } },
  { key = "certificate", names = { "kong.runloop.certificate" }, functions = { "get_certificate" } },
  { key = "tls", names = { "resty.kong.tls" }, functions = { "set_upstream_cert_and_key" } },
  { key = "ngx_balancer", names = { "ngx.balancer" }, functions = { "recreate_request" } },
  { key = "ngx_request", names = { "ngx.req" }, functions = { "add_header" } },
  { key = "uuid", names = { "kong.tools.uuid", "kong.tools.utils" }, functions = { "uuid" } },
  { key = "json", names = { "cjson.safe" }, functions = { "decode" } },
}

-- What nginx.conf calls by name.
local PHASES = { "access", "balancer", "header_filter", "log" }


local function is_supported(version)
  local major, minor = tostring(version):match("^(%d+)%.(%d+)%.")
  minor = tonumber(minor)
  return major == "3" and minor >= FIRST_MINOR and minor <= LAST_MINOR
end


local function load_one_of(names)
  for _, name in ipairs(names) do
    local found, module = pcall(require, name)
    if found and type(module) == "table" then
      return module, name
    end
  end
end


-- Adds what a module lacks to `missing`; returns the module, if there is one.
local function inspect(needed, missing)
  local module, name = load_one_of(needed.names)
  if not module then
    missing[#missing + 1] = needed.names[1]
    return
  end

  for _, key in ipairs(needed.functions) do
    if type(module[key]) ~= "function" then
      missing[#missing + 1] = name .. "." .. key
    end
  end

  return module
end


-- Returns the needed modules by key, or nil and a sentence that says what is not as it should be.
-- `phases` is the global table `Kong`.
function M.load(version, phases)
  if not is_supported(version) then
    return nil, "it knows the internals of Kong 3." .. FIRST_MINOR .. " to 3." .. LAST_MINOR
                .. ", and this is Kong " .. tostring(version)
  end

  local wasm = load_one_of(NEEDED[1].names)
  if wasm and type(wasm.enabled) == "function" and not wasm.enabled() then
    return nil, "Kong runs no WebAssembly filters; set KONG_WASM=on and KONG_WASM_FILTERS_PATH "
                .. "to a directory with at least one filter"
  end

  local modules, missing = {}, {}
  for _, needed in ipairs(NEEDED) do
    modules[needed.key] = inspect(needed, missing)
  end
  for _, phase in ipairs(PHASES) do
    if type(phases) ~= "table" or type(phases[phase]) ~= "function" then
      missing[#missing + 1] = "Kong." .. phase
    end
  end

  if #missing > 0 then
    return nil, "this Kong " .. version .. " lacks " .. table.concat(missing, ", ")
  end

  return modules
end


return M
