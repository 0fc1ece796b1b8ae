-- Sends a request to another Upstream, in Kong's balancer phase.
--
-- Kong has run its balancer in the access phase, for the service's own upstream, and is about to
-- connect to the peer that it found. Going elsewhere means to put another peer in its place, as that
-- run would have left it, and to give up the first one only when the second is certain. Retries are
-- Kong's own again: they read what is put here.

local complaints = require "kong.plugins.tse-route-bridge.complaints"
local hashing = require "kong.plugins.tse-route-bridge.hashing"
local upstreams = require "kong.plugins.tse-route-bridge.upstreams"


local ngx = ngx
local pcall = pcall
local tostring = tostring


local M = {}


local set_upstream_cert_and_key


function M.init(modules)
  set_upstream_cert_and_key = modules.tls.set_upstream_cert_and_key
end


-- Least-connections balancers count a handle from the moment they give it out. Kong releases the one
-- it finds in `balancer_data` in its log phase and reports that peer's health there; a handle that is
-- dropped earlier must be released without a report. Other balancers' handles have no release.
local function release(handle)
  if handle and handle.release then
    -- A target may have been removed meanwhile; that is no reason to fail a request.
    pcall(handle.release, handle)
  end
end


-- A certificate of the service goes before that of an Upstream, as in Kong. That of the Upstream which
-- the request leaves cannot be taken from the connection again, only replaced.
local function present_certificate(ctx, data, name, certificate)
  if ctx.service and ctx.service.client_certificate then
    return
  end

  if certificate then
    local ok, err = set_upstream_cert_and_key(certificate.cert, certificate.key)
    if not ok then
      complaints.report("certificate " .. name, "the client certificate of upstream \"" .. name
                        .. "\" cannot be used: " .. tostring(err))
    end
  elseif data.upstream and data.upstream.client_certificate then
    complaints.report("certificate " .. name, "requests that leave upstream \"" .. data.upstream.name
                      .. "\" for \"" .. name .. "\" present the client certificate of the former, "
                      .. "which Kong cannot take back; give the latter one of its own")
  end
end


-- Sends the request to the Upstream `name`. Returns nil, or an error code and what happened; then
-- nothing has changed.
function M.switch(ctx, chain, name)
  local data = ctx.balancer_data
  if data.host == name and data.balancer then
    return
  end

  local upstream, pool, certificate = upstreams.find(chain, name)
  if not upstream then
    return "unknown-upstream", "there is no Upstream of this name"
  end
  if not pool then
    return "no-healthy-target", "this worker has not built the Upstream's balancer yet"
  end
  if not pool.healthy then
    return "no-healthy-target", "the Upstream has no healthy target"
  end

  local hash_value, cookie = "", nil
  if upstream.hash_on ~= "none" then
    hash_value, cookie = hashing.value(upstream, ctx)
  end
  -- From the cache only: Kong renews names in a timer of its own.
  local ip, port, hostname, handle = pool:getPeer(true, nil, hash_value)
  if not ip then
    return "no-healthy-target", "its balancer gives no target: " .. tostring(port)
  end

  if data.scheme == "https" or data.scheme == "grpcs" then
    present_certificate(ctx, data, name, certificate)
  end
  release(data.balancer_handle)
  data.type, data.host, data.ip, data.port = "name", name, ip, port
  data.hostname = upstream.host_header or hostname or ip
  data.balancer, data.upstream, data.balancer_handle = pool, upstream, handle
  data.hash_value = hash_value
  -- Not simply assigned: nil would make room for itself in the table.
  if cookie or data.hash_cookie then
    data.hash_cookie = cookie
  end
end


return M
