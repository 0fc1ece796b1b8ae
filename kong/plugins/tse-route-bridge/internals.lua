-- The parts of Kong that the bridge uses and that Kong promises to nobody: a Kong whose parts differ
-- is refused here, when it starts, rather than met in the middle of a request.

local ipairs = ipairs
local pcall = pcall
local require = require
local tonumber = tonumber
local tostring = tostring
local type = type


local M = {}


-- Before 3.6 a filter's property calls do not reach Lua; after 3.9 nothing is known.
local FIRST_MINOR, LAST_MINOR = 6, 9

local NEEDED = {
  { key = "wasm", name = "kong.runloop.wasm", functions = { "enabled" } },
  { key = "properties", name = "kong.runloop.wasm.properties",
    functions = { "add_getter", "add_setter", "add_namespace_handlers" } },
  { key = "balancer", name = "kong.runloop.balancer",
    functions = { "execute", "set_host_header", "get_upstream_by_name" } },
  { key = "balancers", name = "kong.runloop.balancer.balancers",
    functions = { "get_balancer_by_id" } },
  { key = "json", name = "cjson.safe", functions = { "decode" } },
}


local function is_supported(version)
  local major, minor = tostring(version):match("^(%d+)%.(%d+)%.")
  minor = tonumber(minor)
  return major == "3" and minor >= FIRST_MINOR and minor <= LAST_MINOR
end


-- Adds what a module lacks to `missing`; returns the module, if there is one.
local function inspect(needed, missing)
  local found, module = pcall(require, needed.name)
  if not found or type(module) ~= "table" then
    missing[#missing + 1] = needed.name
    return
  end

  for _, name in ipairs(needed.functions) do
    if type(module[name]) ~= "function" then
      missing[#missing + 1] = needed.name .. "." .. name
    end
  end

  return module
end


-- Returns the needed modules by key, or nil and a sentence that says what is not as it should be.
function M.load(version)
  if not is_supported(version) then
    return nil, "it knows the internals of Kong 3." .. FIRST_MINOR .. " to 3." .. LAST_MINOR
                .. ", and this is Kong " .. tostring(version)
  end

  local modules, missing = {}, {}
  for _, needed in ipairs(NEEDED) do
    modules[needed.key] = inspect(needed, missing)
  end

  if #missing > 0 then
    return nil, "this Kong " .. version .. " lacks " .. table.concat(missing, ", ")
  end

  if not modules.wasm.enabled() then
    return nil, "Kong runs no WebAssembly filters; set KONG_WASM=on and KONG_WASM_FILTERS_PATH "
                .. "to a directory with at least one filter"
  end

  return modules
end


return M
