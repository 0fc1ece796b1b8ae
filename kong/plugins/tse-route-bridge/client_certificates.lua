-- Which client certificate an upstream is shown.
--
-- Kong sets that of the service's own Upstream in its access phase; what is set can be replaced, but
-- not taken back. And it keeps connections by address, Host and the certificate of the *service* alone, so
-- that a connection that was made with the certificate of one Upstream serves requests for another. Both
-- turn on whether the service has a certificate. So, where the service has none, another service stands in for it
-- while Kong looks: one that has a certificate, so that Kong sets no other, and whose certificate is
-- called as the Upstream's, so that connections are kept by it.

local complaints = require "kong.plugins.tse-route-bridge.complaints"


local ngx = ngx
local setmetatable = setmetatable
local tostring = tostring


local M = {}


-- Keys in ngx.ctx: whether the bridge sets the certificate, which, and what something stands in for.
local IN_CHARGE, CERTIFICATE = "tse_route_in_charge", "tse_route_certificate"
local SERVICE, SCHEME = "tse_route_service", "tse_route_scheme"

local IS_TLS = { https = true, grpcs = true }

-- Upstreams without a certificate have connections of their own as well.
local NONE = { id = "tse-route" }

local get_certificate, set_upstream_cert_and_key


function M.init(modules)
  get_certificate = modules.certificate.get_certificate
  set_upstream_cert_and_key = modules.tls.set_upstream_cert_and_key
end


-- That of an Upstream, if it has one. May yield.
function M.of(upstream)
  if not upstream.client_certificate then
    return
  end
  local certificate, err = get_certificate(upstream.client_certificate)
  if not certificate then
    complaints.report("certificate " .. upstream.name, "the client certificate of upstream \""
                      .. upstream.name .. "\" cannot be used: " .. tostring(err))
  end
  return certificate
end


local function put_in_place(ctx, client_certificate)
  ctx[SERVICE] = ctx.service
  ctx.service = setmetatable({ client_certificate = client_certificate }, { __index = ctx.service })
end


-- Everything is again as Kong has it. Kong's phases may end in the middle, so the next one calls this too.
function M.restore(ctx)
  if ctx[SERVICE] then
    ctx.service, ctx[SERVICE] = ctx[SERVICE], nil
  end
  if ctx[SCHEME] then
    ctx.balancer_data.scheme, ctx[SCHEME] = ctx[SCHEME], nil
  end
end


-- All plugins have run, and Kong has not looked for the service's own upstream.
function M.take_over(ctx)
  local service, var = ctx.service, ngx.var
  if not service or service.client_certificate or not IS_TLS[var.upstream_scheme] then
    return
  end
  -- As Kong, which asks the upstream within its access phase then.
  if ctx.buffered_proxying and (var.upstream_upgrade or "") == "" then
    return
  end
  ctx[IN_CHARGE] = true
  put_in_place(ctx, NONE)
end


-- Kong's access phase is over. May yield.
function M.fetch(ctx)
  M.restore(ctx)
  local upstream = ctx[IN_CHARGE] and ctx.balancer_data.upstream
  if upstream then
    ctx[CERTIFICATE] = M.of(upstream)
  end
end


-- The request goes to an Upstream that has this certificate, or nil.
function M.choose(ctx, certificate)
  if ctx[IN_CHARGE] then
    ctx[CERTIFICATE] = certificate
  end
end


-- It is certain where the request goes.
function M.present(ctx)
  local certificate = ctx[CERTIFICATE]
  if not certificate then
    return
  end
  local ok, err = set_upstream_cert_and_key(certificate.cert, certificate.key)
  if not ok then
    local name = ctx.balancer_data.upstream.name
    complaints.report("certificate " .. name, "the client certificate of upstream \"" .. name
                      .. "\" cannot be used: " .. tostring(err))
  end
end


-- Kong is about to take or make a connection.
function M.name_connections(ctx)
  if not ctx[IN_CHARGE] then
    return
  end
  local data = ctx.balancer_data
  put_in_place(ctx, ctx[CERTIFICATE] and data.upstream.client_certificate or NONE)
  -- Kong keeps those for gRPC by their address alone.
  if data.scheme == "grpcs" then
    data.scheme, ctx[SCHEME] = "https", data.scheme
  end
end


return M
