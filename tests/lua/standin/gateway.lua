-- Stands in for a Kong worker: the modules that the bridge uses, and the life of a request around it,
-- behaving as Kong's sources do where the bridge can tell the difference. In the phases in which Lua
-- must not wait, whatever could wait (a look-up, a lock, a name server, sleeping) is noted as a
-- violation, which fails the test even if the bridge catches the error.

local headers = require "standin.headers"
local json = require "standin.json"
local pools = require "standin.pools"
local prometheus = require "standin.prometheus"
local request_headers = require "standin.request_headers"


local Gateway = {}
Gateway.__index = Gateway

local Request = {}
Request.__index = Request


local BRIDGE = "kong.plugins.tse-route-bridge."
local MODULES = {
  "kong.runloop.wasm", "resty.wasmx.proxy_wasm", "kong.runloop.balancer",
  "kong.runloop.balancer.balancers", "kong.runloop.certificate", "resty.kong.tls", "ngx.balancer",
  "ngx.req", "kong.tools.uuid", "kong.tools.utils", "kong.plugins.prometheus.exporter", "cjson.safe",
  "ffi",
}
-- What nginx ends a thread with.
local EXIT = {}

local NO_WAITING = { balancer = true, header_filter = true, log = true, collector = true }

-- Of all gateways since the last look.
local violations = {}


-- The violations since the last call.
function Gateway.violations()
  local found = violations
  violations = {}
  return found
end


-- Where Kong may wait.
local function waits(gateway, what)
  if NO_WAITING[gateway.phase] then
    violations[#violations + 1] = what .. " in phase " .. gateway.phase
    error("API disabled in the current context", 3)
  end
end


local function new_pool(gateway, upstream)
  return pools.new(upstream, function()
    waits(gateway, "asking a name server")
  end)
end


-- ---------------------------------------------------------------- modules

local function wasm_module(gateway)
  return {
    enabled = function()
      return gateway.options.wasm ~= false
    end,
  }
end


local function proxy_wasm_module(gateway)
  local M
  M = {
    new = function(filters)
      for _, filter in ipairs(filters) do
        assert(type(filter.name) == "string")
        assert(filter.config == nil or type(filter.config) == "string", "config should be a string")
        if filter.config == "refuse" then
          return nil, "refused"
        end
      end
      return { filters = filters }
    end,
    load = function(plan)
      if plan.unloadable then
        return nil, "failed loading plan"
      end
      -- Held for as long as what loads it is under way.
      local ctx = gateway.ngx.ctx
      ctx[M] = ctx[M] or {}
      ctx[M][plan] = true
      return true
    end,
    attach = function(plan, ...)
      assert(gateway.phase == "access", "attach in phase " .. tostring(gateway.phase))
      gateway.attached = { plan = plan, more = { ... } }
      return true
    end,
  }
  return M
end


-- A finalizer belongs to the object that it was last set for.
local function ffi_module(gateway)
  return {
    C = {
      ngx_http_wasm_ffi_plan_free = function(plan)
        assert(gateway.phase == "timer", "a plan is freed in phase " .. tostring(gateway.phase))
        assert(not plan.freed, "freed twice")
        plan.freed = true
      end,
    },
    gc = function(plan, finalizer)
      plan.finalizer = finalizer
      return plan
    end,
  }
end


local function balancers_module(gateway)
  return {
    get_balancer_by_id = function(id)
      return gateway.pools[id]
    end,
    create_balancer = function(upstream)
      waits(gateway, "building a balancer")
      gateway.built[#gateway.built + 1] = upstream.name
      if upstream.build_throws then
        error(upstream.build_throws)
      end
      if upstream.build_fails then
        return nil, upstream.build_fails
      end
      gateway.pools[upstream.id] = gateway.pools[upstream.id] or new_pool(gateway, upstream)
      return gateway.pools[upstream.id]
    end,
  }
end


-- Kong's own run in the access phase, and for retries.
local function execute(gateway, data, ctx)
  local retry = data.try_count ~= 0
  if data.type ~= "name" then
    data.ip, data.hostname = data.host, data.host
    return true
  end

  local upstream = retry and data.upstream or gateway.upstreams[data.host]
  if not upstream then
    data.ip, data.hostname = gateway.dns[data.host], data.host
    if data.ip then
      return true
    end
    return nil, "name resolution failed", 503
  end

  local pool = retry and data.balancer or gateway.pools[upstream.id]
  local hash_value
  if not retry then
    data.balancer, data.upstream = pool, upstream
    if upstream.hash_on == "cookie" then
      data.hash_cookie = { key = upstream.hash_on_cookie, value = "issued by Kong" }
    end
    data.hash_value = upstream.hash_on and "hashed by Kong" or ""
    hash_value = data.hash_value
    if upstream.client_certificate and not ctx.service.client_certificate then
      gateway.presented = "certificate of " .. upstream.name
    end
  end
  local ip, port, hostname, handle = pool:getPeer(retry, data.balancer_handle, hash_value)
  if not ip then
    return nil, "failure to get a peer from the ring-balancer", 503
  end
  data.hash_value, data.balancer_handle = hash_value, handle
  data.ip, data.port, data.hostname = ip, port, upstream.host_header or hostname or ip
  return true
end


local function balancer_module(gateway)
  local M = {}

  function M.execute(data, ctx)
    return execute(gateway, data, ctx)
  end

  function M.get_upstream_by_name(name)
    waits(gateway, "looking up an Upstream")
    gateway.looked_up = gateway.looked_up + 1
    if gateway.lookup_throws then
      error(gateway.lookup_throws)
    end
    if gateway.lookup_fails then
      return nil, gateway.lookup_fails
    end
    return gateway.upstreams[name] or false
  end

  function M.set_host_header(data, scheme, present, is_balancer_phase)
    if gateway.set_host_header_throws then
      error(gateway.set_host_header_throws)
    end
    if data.preserve_host then
      return true
    end
    local usual = ({ http = 80, grpc = 80, https = 443, grpcs = 443 })[scheme]
    local host = data.hostname
    if data.port ~= usual then
      host = host .. ":" .. data.port
    end
    if host ~= present then
      if scheme == "grpc" or scheme == "grpcs" then
        gateway.authority = host
      end
      gateway.ngx.var.upstream_host = host
      if is_balancer_phase then
        return gateway.modules["ngx.balancer"].recreate_request()
      end
    end
    return true
  end

  return M
end


local function ngx_balancer_module(gateway)
  return {
    recreate_request = function()
      assert(gateway.phase == "balancer", "recreate_request outside of the balancer phase")
      if gateway.recreate_fails then
        return nil, gateway.recreate_fails
      end
      gateway.current:write()
      return true
    end,
  }
end


local function exporter_module(gateway)
  return {
    get_prometheus = function()
      return gateway.registry
    end,
  }
end


local function new_modules(gateway)
  local uuid = {
    uuid = function()
      gateway.uuids = gateway.uuids + 1
      return ("%08d-0000-4000-8000-%012d"):format(gateway.uuids, gateway.uuids)
    end,
  }
  return {
    ["kong.runloop.wasm"] = wasm_module(gateway),
    ["resty.wasmx.proxy_wasm"] = proxy_wasm_module(gateway),
    ["kong.runloop.balancer"] = balancer_module(gateway),
    ["kong.runloop.balancer.balancers"] = balancers_module(gateway),
    ["kong.runloop.certificate"] = {
      get_certificate = function(reference)
        waits(gateway, "fetching a certificate")
        if reference.missing then
          return nil, "no such certificate"
        end
        return { cert = "certificate of " .. reference.of, key = "key of " .. reference.of }
      end,
    },
    ["resty.kong.tls"] = {
      set_upstream_cert_and_key = function(cert, key)
        assert(cert and key)
        if gateway.certificate_fails then
          return nil, gateway.certificate_fails
        end
        gateway.presented = cert
        return true
      end,
    },
    ["ngx.balancer"] = ngx_balancer_module(gateway),
    ["ngx.req"] = {
      add_header = function(name, value)
        gateway.current.headers:add(name, value)
      end,
    },
    -- Before 3.6 only the latter has it.
    ["kong.tools.uuid"] = not gateway.options.old_uuid and uuid or nil,
    ["kong.tools.utils"] = gateway.options.old_uuid and uuid or nil,
    ["kong.plugins.prometheus.exporter"] = gateway.registry and exporter_module(gateway) or nil,
    ["cjson.safe"] = json,
    ["ffi"] = ffi_module(gateway),
  }
end


-- ---------------------------------------------------------------- the worker

local function new_timer(gateway)
  return {
    at = function(delay, callback, ...)
      if gateway.no_timers then
        return nil, "too many pending timers"
      end
      assert(delay == 0)
      local arguments = { ... }
      table.insert(gateway.timers, function()
        callback(false, unpack(arguments))
      end)
      return true
    end,
    every = function(interval, callback)
      gateway.repeated[#gateway.repeated + 1] = { interval = interval, run = callback }
      return true
    end,
  }
end


local function new_req(gateway)
  return {
    get_headers = function(max, raw)
      assert(max == 0, "all of them are to be seen")
      gateway.walked = gateway.walked + 1
      return gateway.current.headers:by_name(not raw)
    end,
    clear_header = function(name)
      gateway.current.headers:clear(name)
    end,
    set_header = function(name, value)
      gateway.current.headers:set(name, value)
    end,
    get_uri_args = function()
      return gateway.current.args
    end,
  }
end


local function new_ngx(gateway)
  return {
    config = { subsystem = gateway.options.subsystem or "http" },
    null = json.null,
    ctx = {},
    var = {},
    header = headers.new(),
    req = new_req(gateway),
    timer = new_timer(gateway),
    now = function()
      return gateway.time
    end,
    sleep = function(seconds)
      waits(gateway, "sleeping")
      gateway.time = gateway.time + seconds
      if not gateway.stuck then
        gateway:run_timers()
      end
    end,
    get_phase = function()
      return gateway.phase
    end,
    exit = function(status)
      gateway.current:exit(status)
    end,
  }
end


local function new_kong(gateway)
  local ctx = setmetatable({}, {
    __index = function(_, key)
      if key == "shared" then
        local shared = gateway.ngx.ctx.shared or {}
        gateway.ngx.ctx.shared = shared
        return shared
      end
    end,
  })
  local function log(...)
    gateway.log[#gateway.log + 1] = table.concat({ ... })
  end
  return {
    version = gateway.options.version or "3.9.3",
    configuration = {
      role = gateway.options.role or "traditional",
      loaded_plugins = { ["tse-route-bridge"] = true, prometheus = gateway.registry and true or nil },
    },
    ctx = ctx,
    log = { err = log, notice = log },
    worker_events = {
      register = function(handler, source, event)
        gateway.handlers[source .. ":" .. event] = handler
      end,
    },
    db = { plugins = { schema = { subschemas = gateway.options.subschemas } } },
    response = {
      get_source = function()
        local request_ctx = gateway.ngx.ctx
        return request_ctx.KONG_UNEXPECTED and "error" or request_ctx.KONG_PROXIED and "service"
               or "error"
      end,
    },
  }
end


-- The global functions that nginx.conf calls, without the bridge.
local function new_phases(gateway)
  return {
    access = function()
      gateway.current:own_access()
    end,
    balancer = function()
      gateway.current:own_balancer()
    end,
    header_filter = function()
      gateway.current:own_header_filter()
    end,
    log = function()
      gateway.current:own_log()
    end,
  }
end


local function take_away(gateway, path)
  if gateway.modules[path] then
    gateway.modules[path] = nil
    return
  end
  local module, name = path:match("^(.*)%.([^.]+)$")
  if module == "Kong" then
    gateway.phases[name] = nil
  else
    gateway.modules[module][name] = nil
  end
end


-- options: version, wasm, role, subsystem, prometheus, old_uuid, subschemas, tracing; without: modules
-- or functions to leave out
function Gateway.new(options)
  local gateway = setmetatable({
    options = options or {},
    time = 1000,
    phase = "init_worker",
    log = {},
    upstreams = {},
    pools = {},
    dns = {},
    timers = {},
    repeated = {},
    handlers = {},
    built = {},
    uuids = 0,
    walked = 0,
    looked_up = 0,
    exported = {},
  }, Gateway)

  gateway.registry = gateway.options.prometheus and prometheus.new() or nil
  gateway.ngx = new_ngx(gateway)
  gateway.kong = new_kong(gateway)
  gateway.phases = new_phases(gateway)
  gateway.modules = new_modules(gateway)
  for _, path in ipairs(gateway.options.without or {}) do
    take_away(gateway, path)
  end

  -- A new worker has read nothing yet.
  for name in pairs(package.loaded) do
    if name:sub(1, #BRIDGE) == BRIDGE then
      package.loaded[name] = nil
    end
  end
  for _, name in ipairs(MODULES) do
    package.loaded[name] = gateway.modules[name]
  end
  rawset(_G, "kong", gateway.kong)
  rawset(_G, "ngx", gateway.ngx)
  rawset(_G, "Kong", gateway.phases)

  gateway.handler = require(BRIDGE .. "handler")
  return gateway
end


-- A worker in which the bridge has started.
function Gateway.started(options)
  local gateway = Gateway.new(options)
  gateway.handler:init_worker()
  gateway.phase = nil
  return gateway
end


function Gateway:run_timers()
  local phase = self.phase
  self.phase = "timer"
  while self.timers[1] do
    table.remove(self.timers, 1)()
  end
  self.phase = phase
end


-- All repeated timers, once.
function Gateway:tick()
  self.phase = "timer"
  for _, timer in ipairs(self.repeated) do
    timer.run()
  end
  self.phase = nil
end


function Gateway:event(source, event)
  local handler = self.handlers[source .. ":" .. event]
  if handler then
    handler({})
  end
end


-- upstream: targets, and any of algorithm, hash_on…, host_header, client_certificate (true or
-- "missing"), unhealthy, unbuilt (this worker has no balancer for it yet), build_fails, build_throws.
-- Returns its pool.
function Gateway:add_upstream(name, upstream)
  upstream.name, upstream.id = name, "id-of-" .. name
  if upstream.client_certificate then
    upstream.client_certificate = {
      id = "id of " .. name, of = name, missing = upstream.client_certificate == "missing",
    }
  end
  self.upstreams[name] = upstream
  self.pools[upstream.id] = not upstream.unbuilt and new_pool(self, upstream) or nil
  return self.pools[upstream.id]
end


function Gateway:pool(name)
  return self.pools["id-of-" .. name]
end


-- Builds a filter chain as Kong does at start and after a reload, from texts of configurations or
-- whole filters.
function Gateway:plan(...)
  local filters = {}
  for i, one in ipairs({ ... }) do
    filters[i] = type(one) == "string" and { name = "tse-route", config = one } or one
  end
  return self.modules["resty.wasmx.proxy_wasm"].new(filters)
end


-- What the collector does with a plan that nobody refers to.
function Gateway:collect(plan)
  self.phase = "collector"
  assert(plan.finalizer, "no finalizer")(plan)
  self.phase = nil
end


-- ---------------------------------------------------------------- a request

-- A root span, which Kong uses again once it has been exported.
local function new_span(gateway)
  return {
    should_sample = true,
    attributes = {},
    set_attribute = function(span, key, value)
      assert(type(key) == "string", "invalid key")
      assert(span.attributes, "the span is another request's")
      if gateway.set_attribute_throws then
        error(gateway.set_attribute_throws)
      end
      span.attributes[key] = value
    end,
  }
end


-- options: plan, service, route, host_type, preserve_host (the value of Host), headers (pairs of the
-- client), args, vars, ctx, plugins (what plugins do in the access phase), buffered, exits (the balancer
-- phase ends in the middle)
function Gateway:request(options)
  options = options or {}
  local service = options.service or { name = "shop", host = "stable", port = 80, protocol = "http" }
  local request = setmetatable({ gateway = self, options = options, tries = {} }, Request)

  request.headers = request_headers.new(options.headers)
  request.args = options.args or {}
  request.header, request.append_header, request.seen_headers = headers.new()
  local stored = { upstream_scheme = service.protocol or "http", upstream_host = "" }
  for name, value in pairs(options.vars or {}) do
    stored[name] = value
  end
  request.var = setmetatable({}, {
    __index = function(_, name)
      local suffix = name:match("^http_(.*)$")
      if suffix then
        return request.headers:variable(suffix)
      end
      return stored[name]
    end,
    __newindex = function(_, name, value)
      assert(stored[name], "no variable " .. name)
      stored[name] = value
    end,
  })
  request.ctx = {
    service = service,
    route = options.route or { name = "shop-route", id = "route-id" },
    balancer_data = {
      type = options.host_type or (service.host:find("^[%d.]+$") and "ipv4" or "name"),
      host = service.host,
      port = service.port,
      scheme = service.protocol or "http",
      try_count = 0,
      retries = 5,
      tries = {},
    },
  }
  if self.options.tracing then
    request.ctx.KONG_SPANS = { [0] = 1, new_span(self) }
  end
  for key, value in pairs(options.ctx or {}) do
    request.ctx[key] = value
  end
  if options.preserve_host then
    stored.upstream_host = options.preserve_host
    request.ctx.balancer_data.preserve_host = true
  end

  request:run("access")
  return request
end


-- nginx ends the thread of the phase.
function Request:exit(status)
  self.status = status
  error(EXIT)
end


-- A phase, as nginx.conf calls it.
function Request:run(phase)
  local gateway = self.gateway
  local ngx = gateway.ngx
  gateway.current, gateway.phase = self, phase
  ngx.ctx, ngx.var, ngx.header, ngx.status = self.ctx, self.var, self.header, self.status
  local ended, err = pcall(gateway.phases[phase])
  gateway.phase = nil
  if not ended and err ~= EXIT then
    error(err, 0)
  end
end


function Request:own_access()
  local gateway, data = self.gateway, self.ctx.balancer_data
  self.seen_by_plugins = self.headers:written()
  self.ctx.buffered_proxying = self.options.buffered
  if self.options.plugins then
    self.options.plugins(self)
  end
  if self.options.plan then
    assert(gateway.modules["resty.wasmx.proxy_wasm"].attach(self.options.plan))
  end
  local found, _, status = gateway.modules["kong.runloop.balancer"].execute(data, self.ctx)
  if not found then
    self:exit(status)
  end
  gateway.modules["kong.runloop.balancer"].set_host_header(data, self.var.upstream_scheme,
                                                           self.var.upstream_host)
  self.ctx.KONG_PROXIED = true
end


-- What a filter does: it sets a request header, over one of an earlier filter.
function Request:decide(message)
  self.headers:replace_by_filter("x-tse-route-decision", message)
end


-- nginx writes the request before it asks for a peer.
function Request:write()
  self.sent = self.headers:written()
  self.sent.host = self.var.upstream_host
end


function Request:own_balancer()
  local gateway, data = self.gateway, self.ctx.balancer_data
  data.try_count = data.try_count + 1
  if data.try_count > 1 then
    if data.balancer then
      data.balancer.report_tcp_failure(data.balancer_handle)
    end
    assert(gateway.modules["kong.runloop.balancer"].execute(data, self.ctx))
    gateway.modules["kong.runloop.balancer"].set_host_header(data, self.var.upstream_scheme,
                                                             self.var.upstream_host, true)
  end
  self.tries[data.try_count] = data.ip .. ":" .. data.port
  self.pool = data.ip .. "|" .. data.port
  if data.scheme == "https" then
    local certificate = self.ctx.service.client_certificate
    self.pool = self.pool .. "|" .. self.var.upstream_host .. (certificate and "|" .. certificate.id or "")
  end
  if self.options.exits then
    self:exit(500)
  end
end


-- The first try.
function Request:connect()
  self:write()
  self:run("balancer")
  return self
end


-- Where the request has gone, and with which Host.
function Request:destination()
  return self.tries[#self.tries] .. " " .. self.sent.host
end


function Request:shared()
  return self.ctx.shared or {}
end


function Request:own_header_filter()
  local hash_cookie = self.ctx.balancer_data.hash_cookie
  if hash_cookie then
    self.append_header("Set-Cookie", hash_cookie.key .. "=" .. hash_cookie.value
                                     .. (hash_cookie.path and "; Path=" .. hash_cookie.path or ""))
  end
end


function Request:own_log()
  local data = self.ctx.balancer_data
  if data.balancer_handle then
    data.balancer.report_http_status(data.balancer_handle, self.status)
    if data.balancer_handle.release then
      data.balancer_handle:release()
    end
    data.balancer:afterBalance(self.ctx, data.balancer_handle)
  end
  for _, span in ipairs(self.ctx.KONG_SPANS or {}) do
    local exported = self.gateway.exported
    exported[#exported + 1] = span.should_sample and span.attributes or nil
    span.attributes = nil
  end
  -- Kong takes the context back.
  self.ctx = {}
end


-- The rest of the request. options: status, headers of the upstream, refused (how many further tries
-- there are), waited, by_nginx (nginx answers), unanswered (the client has left), instance (a configured
-- one of the plugin)
function Request:finish(options)
  options = options or {}
  local ctx = self.ctx
  if not self.sent then
    self:connect()
  end
  for _ = 1, options.refused or 0 do
    self:run("balancer")
  end

  self.status = options.status or 200
  ctx.KONG_WAITING_TIME = options.waited or 12
  ctx.KONG_UNEXPECTED = options.by_nginx
  for name, value in pairs(options.headers or {}) do
    self.append_header(name, value)
  end

  if options.unanswered then
    self:run("log")
    return self
  end

  self:run("header_filter")
  if options.instance then
    self.gateway.handler:header_filter(options.instance)
  end
  -- The filter's step comes after Lua's, and not for an answer of nginx.
  self.seen_by_filter = not options.by_nginx and self.seen_headers() or nil
  self:run("log")
  return self
end


return Gateway
