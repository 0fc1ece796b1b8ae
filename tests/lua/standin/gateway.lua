-- Stands in for a Kong worker: the modules that the bridge uses, and the life of a request around it,
-- behaving as Kong's sources do where the bridge can tell the difference.

local headers = require "standin.headers"
local json = require "standin.json"
local pools = require "standin.pools"
local prometheus = require "standin.prometheus"


local Gateway = {}
Gateway.__index = Gateway

local Request = {}
Request.__index = Request


local BRIDGE = "kong.plugins.tse-route-bridge."
local MODULES = {
  "kong.runloop.wasm", "kong.runloop.wasm.properties", "kong.runloop.balancer",
  "kong.runloop.balancer.balancers", "kong.plugins.prometheus.exporter", "cjson.safe",
}
local YIELD = "attempt to yield across C-call boundary"


-- ---------------------------------------------------------------- modules

local function wasm_module(gateway)
  return {
    enabled = function()
      return gateway.options.wasm ~= false
    end,
  }
end


local function properties_module()
  local getters, setters, namespaces = {}, {}, {}
  return {
    getters = getters,
    setters = setters,
    namespaces = namespaces,
    add_namespace_handlers = function(name, get, set)
      assert(type(name) == "string" and type(get) == "function" and type(set) == "function")
      namespaces[name] = { get = get, set = set }
    end,
    add_getter = function(name, handler)
      assert(type(name) == "string" and type(handler) == "function")
      getters[name] = handler
    end,
    add_setter = function(name, handler)
      assert(type(name) == "string" and type(handler) == "function")
      setters[name] = handler
    end,
  }
end


-- Where Kong would ask a name server and wait.
local function wait_for_dns(gateway)
  if gateway.inside_filter_call then
    error(YIELD)
  end
end


local function balancers_module(gateway)
  local M, building = {}, {}

  local function build(upstream)
    if building[upstream.id] then
      return nil, "timeout waiting for balancer for " .. upstream.id
    end
    building[upstream.id] = true
    wait_for_dns(gateway)
    gateway.pools[upstream.id] = gateway:new_pool(upstream)
    building[upstream.id] = nil
    return gateway.pools[upstream.id]
  end

  function M.get_balancer_by_id(id)
    return gateway.pools[id]
  end

  function M.of(host)
    local upstream = gateway:find_upstream(host)
    if not upstream then
      return false
    end
    local pool, err = gateway.pools[upstream.id]
    if not pool then
      pool, err = build(upstream)
      if not pool then
        return nil, err
      end
    end
    return pool, upstream
  end

  return M
end


local function hash_value_of(gateway, upstream, data)
  if upstream.hash_on == "cookie" then
    local value = gateway.ngx.var["cookie_" .. upstream.hash_on_cookie]
    if not value then
      gateway.cookies = gateway.cookies + 1
      value = "issued-" .. gateway.cookies
      data.hash_cookie = { key = upstream.hash_on_cookie, value = value }
    end
    return value
  elseif upstream.hash_on == "header" then
    return gateway.ngx.var["http_" .. upstream.hash_on_header]
  end
end


local function execute_ring(gateway, data, ctx, pool, upstream, retry)
  local hash_value
  if not retry then
    data.balancer, data.upstream = pool, upstream
    hash_value = data.hash_value or hash_value_of(gateway, upstream, data) or ""
    data.hash_value = hash_value
    if upstream.client_certificate and not (ctx.service and ctx.service.client_certificate) then
      gateway.connection_certificate = upstream.client_certificate
    end
  end

  local ip, port, hostname, handle = pool:getPeer(retry, data.balancer_handle, hash_value)
  if not ip then
    if port == "No peers are available" or port == "Balancer is unhealthy" then
      return nil, "failure to get a peer from the ring-balancer", 503
    end
    return nil, port, 500
  end

  data.hash_value, data.balancer_handle = hash_value, handle
  data.ip, data.port = ip, port
  data.hostname = upstream.host_header or hostname or ip
  return true
end


local function balancer_module(gateway)
  local M = {}

  function M.get_upstream_by_name(name)
    return gateway:find_upstream(name)
  end

  function M.execute(data, ctx)
    gateway.executed = gateway.executed + 1
    if gateway.execute_throws then
      error(gateway.execute_throws)
    end

    if data.type ~= "name" then
      data.ip, data.hostname = data.host, data.host
      data.port = data.port or 80
      return true
    end

    local retry = data.try_count ~= 0
    local pool, upstream
    if retry then
      pool, upstream = data.balancer, data.upstream
    else
      pool, upstream = gateway.modules["kong.runloop.balancer.balancers"].of(data.host)
      if pool == nil then
        return nil, upstream, 500
      end
    end
    if pool then
      return execute_ring(gateway, data, ctx, pool, upstream, retry)
    end

    local ip = gateway.dns[data.host]
    if not ip then
      wait_for_dns(gateway)
      return nil, "name resolution failed", 503
    end
    data.ip, data.hostname = ip, data.host
    return true
  end

  function M.set_host_header(data, scheme, present)
    gateway.host_header_calls = gateway.host_header_calls + 1
    if gateway.set_host_header_throws then
      gateway.ngx.var.upstream_host = "half-done"
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
    end
    return true
  end

  return M
end


local function exporter_module(gateway)
  return {
    get_prometheus = function()
      return gateway.registry
    end,
  }
end


-- ---------------------------------------------------------------- the worker

local function new_ngx(gateway)
  return {
    config = { subsystem = gateway.options.subsystem or "http" },
    ctx = {},
    var = {},
    header = headers.new(),
    now = function()
      return gateway.time
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
  return {
    version = gateway.options.version or "3.9.3",
    configuration = {
      role = gateway.options.role or "traditional",
      loaded_plugins = { ["tse-route-bridge"] = true, prometheus = gateway.registry and true or nil },
    },
    ctx = ctx,
    log = {
      err = function(...)
        gateway.log[#gateway.log + 1] = table.concat({ ... })
      end,
    },
    response = {
      get_source = function()
        local request_ctx = gateway.ngx.ctx
        return request_ctx.KONG_UNEXPECTED and "error" or request_ctx.KONG_PROXIED and "service"
               or "error"
      end,
    },
  }
end


local function take_away(gateway, path)
  if gateway.modules[path] then
    gateway.modules[path] = nil
    return
  end
  local module, name = path:match("^(.*)%.([^.]+)$")
  gateway.modules[module][name] = nil
end


-- options: version, wasm, role, subsystem, prometheus; without: modules or functions to leave out;
-- broken: a module of the plugin to replace by a table
function Gateway.new(options)
  local gateway = setmetatable({
    options = options or {},
    time = 1000,
    log = {},
    upstreams = {},
    pools = {},
    dns = {},
    cookies = 0,
    executed = 0,
    host_header_calls = 0,
  }, Gateway)

  gateway.registry = gateway.options.prometheus and prometheus.new() or nil
  gateway.ngx = new_ngx(gateway)
  gateway.kong = new_kong(gateway)
  gateway.modules = {
    ["kong.runloop.wasm"] = wasm_module(gateway),
    ["kong.runloop.wasm.properties"] = properties_module(),
    ["kong.runloop.balancer"] = balancer_module(gateway),
    ["kong.runloop.balancer.balancers"] = balancers_module(gateway),
    ["kong.plugins.prometheus.exporter"] = gateway.registry and exporter_module(gateway) or nil,
    ["cjson.safe"] = json,
  }
  gateway.properties = gateway.modules["kong.runloop.wasm.properties"]
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

  gateway.handler = require(BRIDGE .. "handler")
  return gateway
end


-- A worker in which the bridge has started.
function Gateway.started(options)
  local gateway = Gateway.new(options)
  gateway.handler:init_worker()
  return gateway
end


function Gateway:find_upstream(name)
  if self.lookup_fails then
    return nil, self.lookup_fails
  end
  local key = "workspace:" .. name   -- an error without a name
  return self.upstreams[key:sub(11)] or false
end


function Gateway:new_pool(upstream)
  return pools.new(upstream, function(address)
    if address.expired then
      wait_for_dns(self)
    end
  end)
end


-- upstream: targets, and any of algorithm, hash_on…, host_header, client_certificate, unhealthy,
-- unbuilt (this worker has no balancer for it yet). Returns its pool.
function Gateway:add_upstream(name, upstream)
  upstream.name, upstream.id = name, "id-of-" .. name
  self.upstreams[name] = upstream
  if not upstream.unbuilt then
    self.pools[upstream.id] = self:new_pool(upstream)
  end
  return self.pools[upstream.id]
end


function Gateway:pool(name)
  return self.pools["id-of-" .. name]
end


-- ---------------------------------------------------------------- a request

-- options: service, route, host_type, preserve_host (the value of Host), vars,
-- balancer_later (the filter runs first, as in Kong 3.6)
-- Returns nil and a status where Kong answers before any filter runs.
function Gateway:request(options)
  options = options or {}
  local service = options.service or { name = "shop", host = "stable", port = 80, protocol = "http" }
  local request = setmetatable({ gateway = self, stored = {} }, Request)

  request.header, request.append_header, request.seen_headers = headers.new()
  request.var = { upstream_scheme = service.protocol or "http", upstream_host = "" }
  for name, value in pairs(options.vars or {}) do
    request.var[name] = value
  end
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
  if options.preserve_host then
    request.var.upstream_host = options.preserve_host
    request.ctx.balancer_data.preserve_host = true
  end

  request:enter()
  if not options.balancer_later then
    local ok, status = request:balance()
    if not ok then
      return nil, status
    end
  end
  return request
end


function Request:enter()
  local ngx = self.gateway.ngx
  ngx.ctx, ngx.var, ngx.header, ngx.status = self.ctx, self.var, self.header, self.status
end


-- The balancer's run of the access phase.
function Request:balance()
  local balancer, data = self.gateway.modules["kong.runloop.balancer"], self.ctx.balancer_data
  local ok, _, status = balancer.execute(data, self.ctx)
  if not ok then
    return nil, status
  end
  balancer.set_host_header(data, self.var.upstream_scheme, self.var.upstream_host)
  self.ctx.KONG_PROXIED = true
  return true
end


-- What ngx_wasm_module makes of a call into Lua: an error or a falsy setter is a trap, a constant
-- cannot be set again, a constant that has been read is not asked for again.
local function call(request, handler, value)
  request:enter()
  local gateway = request.gateway
  gateway.inside_filter_call = true
  local ran, ok, result, const = pcall(handler, gateway.kong, gateway.ngx, request.ctx, value)
  gateway.inside_filter_call = false
  if not ran then
    error("trap: " .. tostring(ok), 3)
  end
  return ok, result, const
end


function Request:set(name, value)
  local handler = self.gateway.properties.setters[name]
  if not handler then
    error("trap: no setter for " .. name, 2)
  end
  local ok, result, const = call(self, handler, value)
  if not ok then
    error("trap: setter of " .. name .. " failed: " .. tostring(result), 2)
  end
  if self.stored[name] then
    error("trap: " .. name .. " is constant", 2)
  end
  self.stored[name] = const and { result } or nil
end


-- nil: not found
function Request:get(name)
  if self.stored[name] then
    return self.stored[name][1]
  end
  local handler, key = self.gateway.properties.getters[name], nil
  for namespace, handlers in pairs(self.gateway.properties.namespaces) do
    if not handler and name:sub(1, #namespace + 1) == namespace .. "." then
      handler, key = handlers.get, name:sub(#namespace + 2)
    end
  end
  if not handler then
    return nil
  end
  local ok, result, const = call(self, handler, key)
  if not ok then
    if result then
      error("trap: getter of " .. name .. " failed: " .. tostring(result), 2)
    end
    return nil
  end
  if const then
    self.stored[name] = { result }
  end
  return result
end


-- Where the request would go now, and with which Host.
function Request:destination()
  local data = self.ctx.balancer_data
  return data.ip .. ":" .. data.port .. " " .. self.var.upstream_host
end


function Request:shared()
  self:enter()
  return self.gateway.kong.ctx.shared
end


-- The rest of the request. options: status, headers of the upstream, refused (how many tries get no
-- connection), waited, configured (the plugin has an instance)
function Request:finish(options)
  options = options or {}
  local gateway, ctx, data = self.gateway, self.ctx, self.ctx.balancer_data
  self:enter()

  data.try_count = 1
  self.addresses = { data.ip .. ":" .. data.port }
  local balancer = gateway.modules["kong.runloop.balancer"]
  for _ = 1, options.refused or 0 do
    data.try_count = data.try_count + 1
    if data.balancer then
      data.balancer.report_tcp_failure(data.balancer_handle)
    end
    assert(balancer.execute(data, ctx))
    assert(balancer.set_host_header(data, self.var.upstream_scheme, self.var.upstream_host))
    self.addresses[#self.addresses + 1] = data.ip .. ":" .. data.port
  end

  self.status = options.status or 200
  gateway.ngx.status = self.status
  ctx.KONG_WAITING_TIME = options.waited or 12
  ctx.KONG_UNEXPECTED = options.by_nginx
  for name, value in pairs(options.headers or {}) do
    self.append_header(name, value)
  end
  if data.hash_cookie then
    self.append_header("Set-Cookie", data.hash_cookie.key .. "=" .. data.hash_cookie.value)
  end

  local conf = options.configured ~= false and { prometheus = options.prometheus ~= false }
  if conf then
    gateway.handler:header_filter(conf)
    gateway.handler:log(conf)
  end

  if data.balancer_handle then
    data.balancer.report_http_status(data.balancer_handle, self.status)
    if data.balancer_handle.release then
      data.balancer_handle:release()
    end
    data.balancer:afterBalance(ctx, data.balancer_handle)
  end
end


return Gateway
