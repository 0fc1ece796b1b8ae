-- Sends a request to another Upstream, in Kong's balancer phase.
--
-- Kong has run its balancer in the access phase, for the service's own upstream, and is about to
-- connect to the peer that it found. Going elsewhere means to put another peer in its place, as that
-- run would have left it, and to give up the first one only when the second is certain. Retries are
-- Kong's own again: they read what is put here.

local client_certificates = require "kong.plugins.tse-route-bridge.client_certificates"
local hashing = require "kong.plugins.tse-route-bridge.hashing"
local upstreams = require "kong.plugins.tse-route-bridge.upstreams"


local pcall = pcall
local tostring = tostring


local M = {}


-- Least-connections balancers count a handle from the moment they give it out. Kong releases the one
-- it finds in `balancer_data` in its log phase and reports that peer's health there; a handle that is
-- dropped earlier must be released without a report. Other balancers' handles have no release.
local function release(handle)
  if handle and handle.release then
    -- A target may have been removed meanwhile; that is no reason to fail a request.
    pcall(handle.release, handle)
  end
end


-- Sends the request to the Upstream `name`. Returns nil, or an error code and what happened; then
-- nothing has changed.
function M.switch(ctx, chain, name)
  local data = ctx.balancer_data
  -- Kong has a peer of it.
  if data.host == name and data.balancer and data.ip then
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

  client_certificates.choose(ctx, certificate)
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
