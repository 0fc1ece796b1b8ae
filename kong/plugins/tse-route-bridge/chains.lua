-- The filter chains of a worker: what the bridge knows of each, and how long they live.
--
-- Kong lets the collector free a chain ("plan") that a reload has replaced, and with any plan,
-- ngx_wasm_module throws away *all* filter instances of the worker: circuit breakers of other chains
-- are closed again, requests in flight forget what was decided. So plans are not freed by the
-- collector but kept, and freed together: when MANY have come together and no request with a chain is
-- on its way in this worker, or when they are TOO_MANY, come what may. Freeing gives little back to
-- the system. What it is for is the memory that a filter keeps for configurations that are gone.

local configuration = require "kong.plugins.tse-route-bridge.configuration"
local request_headers = require "kong.plugins.tse-route-bridge.request_headers"


local ngx = ngx
local kong = kong
local pairs = pairs
local pcall = pcall
local setmetatable = setmetatable


local M = {}


local MANY, TOO_MANY = 1000, 10000
local INTERVAL = 10   -- seconds between looks

-- plan -> chain; a chain without a filter of ours has no entry
local chains = setmetatable({}, { __mode = "k" })

local retired, retired_count = {}, 0
local under_way = 0
local free_plan


-- Called by the collector, wherever it happens to run: nothing may fail here.
local function retire(plan)
  retired_count = retired_count + 1
  retired[retired_count] = plan
end


local function free_retired()
  if retired_count < MANY or (under_way > 0 and retired_count < TOO_MANY) then
    return
  end

  local plans, count = retired, retired_count
  retired, retired_count = {}, 0
  for i = 1, count do
    free_plan(plans[i])
  end
  kong.log.notice("tse-route-bridge: ", count, " filter chains of earlier configurations are freed; ",
                  "the filters of this worker start anew, with closed circuit breakers")
end


-- A chain is what the requests of a service or a route have in common:
--   ids              the numbers of its configurations, as keys
--   headers          the request headers that only the filter may set, with nginx's variables of them
--   upstreams        the names of all Upstreams that can be chosen
--   has_breaker      whether a configuration has circuit breakers
--   error_header     the response header for errors
local function chain_of(configurations)
  local chain = { ids = {}, headers = {}, upstreams = {}, has_breaker = false }
  local seen_headers, seen_upstreams = {}, {}
  for _, one in pairs(configurations) do
    chain.ids[one.id] = one
    chain.has_breaker = chain.has_breaker or one.has_breaker
    chain.error_header = chain.error_header or one.error_header
    if not seen_headers[one.internal_header] then
      seen_headers[one.internal_header] = true
      chain.headers[#chain.headers + 1] = {
        name = one.internal_header, variable = request_headers.variable_of(one.internal_header),
      }
    end
    for _, name in pairs(one.upstreams) do
      if not seen_upstreams[name] then
        seen_upstreams[name] = true
        chain.upstreams[#chain.upstreams + 1] = name
      end
    end
  end
  return chain
end


-- Kong itself holds on to the plans that it uses. Outside of requests and timers there is no context.
local function let_go(plan, key)
  local held = ngx.ctx[key]
  if held then
    held[plan] = nil
  end
end


-- Wraps the making of plans and the attaching of one to a request. `on_attach` is called with the
-- request's context and the chain, before any filter of it has run. `ffi` is LuaJIT's.
function M.wrap(proxy_wasm, ffi, on_attach)
  local new, load, attach = proxy_wasm.new, proxy_wasm.load, proxy_wasm.attach
  free_plan = ffi.C.ngx_http_wasm_ffi_plan_free

  function proxy_wasm.new(filters)
    local prepared, configurations = configuration.prepare(filters)
    local plan, err = new(prepared)
    if plan ~= nil and plan then
      ffi.gc(plan, retire)
      chains[plan] = configurations and chain_of(configurations)
    end
    return plan, err
  end

  -- Loading also puts the plan into the context of whatever runs. That is the timer which hears of
  -- reloads, and it lives for hundreds of them.
  function proxy_wasm.load(plan)
    local ok, err = load(plan)
    pcall(let_go, plan, proxy_wasm)
    return ok, err
  end

  function proxy_wasm.attach(plan, ...)
    local chain = chains[plan]
    if chain then
      on_attach(ngx.ctx, chain)
    end
    return attach(plan, ...)
  end

  ngx.timer.every(INTERVAL, free_retired)
end


-- A request with a chain comes, and goes.
function M.enter()
  under_way = under_way + 1
end

function M.leave()
  under_way = under_way - 1
end


return M
