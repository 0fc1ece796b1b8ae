-- Where a request goes: to another Upstream, and back.
--
-- Kong has run its balancer once before the filter decides. Going elsewhere means to run it again for
-- another host, in the state in which Kong itself starts it, and to give up the first peer only when
-- the second is certain. All of this runs inside a call from the filter, where Lua must not yield;
-- an attempt to yield is an error there, and errors leave the request where it was.
--
-- One thing cannot be taken back: the client certificate of an Upstream. The balancer puts it on the
-- connection, and Kong has no call to remove it, so a request that leaves an Upstream with a
-- certificate for one without still presents it. A certificate of the service is never touched.

local ngx = ngx
local pcall = pcall
local tostring = tostring


local M = {}


-- What `ctx.balancer_data` says about the destination and the peer. The rest of it (timeouts, the
-- number of retries, `preserve_host`, the scheme) belongs to the service and stays.
local FIELDS = {
  "type", "host", "port",           -- the destination
  "ip", "hostname",                 -- the peer
  "balancer", "balancer_handle", "upstream",
  "hash_value",
  "hash_cookie",                    -- a cookie that the response is to set, for the next request's hash
}


local balancer, balancers


function M.init(modules)
  balancer, balancers = modules.balancer, modules.balancers
end


local function remember(data)
  local peer = {}
  for i = 1, #FIELDS do
    peer[FIELDS[i]] = data[FIELDS[i]]
  end
  return peer
end


local function put(data, peer)
  for i = 1, #FIELDS do
    data[FIELDS[i]] = peer[FIELDS[i]]
  end
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


-- Makes `destination` the request's, and picks a peer there unless it names one.
-- Returns true, or nil, an error code and what happened; then nothing has changed.
local function go(data, destination, ctx)
  if not data.ip then
    -- Kong 3.6 and 3.7 call the filter before their balancer, which will go where this points.
    put(data, destination)
    return true
  end

  local before = remember(data)
  local host_header = ngx.var.upstream_host
  put(data, destination)

  local ran, ok, err, status = true, true, nil, nil
  if not destination.ip then
    ran, ok, err, status = pcall(balancer.execute, data, ctx)
  end
  if ran and ok then
    -- Honours `preserve_host`; otherwise computes the Host header from the new peer.
    ran, ok, err = pcall(balancer.set_host_header, data, ngx.var.upstream_scheme, host_header)
  end

  if ran and ok then
    release(before.balancer_handle)
    return true
  end

  release(data.balancer_handle)
  put(data, before)
  if ngx.var.upstream_host ~= host_header then
    ngx.var.upstream_host = host_header
  end

  if not ran then
    err = ok
  end
  return nil, status == 503 and "no-healthy-target" or "bridge-failure", tostring(err)
end


-- Sends the request to the Upstream `name`.
-- Returns true, or nil, an error code and what happened; then nothing has changed.
function M.switch(ctx, name)
  local data = ctx.balancer_data
  if not data or data.try_count ~= 0 then
    return nil, "bridge-failure", "the request is not waiting for its upstream"
  end

  if data.host == name and data.balancer then
    return true
  end

  local found, upstream, err = pcall(balancer.get_upstream_by_name, name)
  if not found or err then
    return nil, "bridge-failure", tostring(err or upstream)
  end
  if not upstream then
    return nil, "unknown-upstream", "there is no Upstream of this name"
  end

  -- These two would fail in `execute` as well, but not without harm. A worker that does not have the
  -- Upstream's balancer yet would build it there, which yields for DNS, and an attempt that breaks
  -- off keeps Kong from ever building it. And the Upstream's client certificate would be put on the
  -- connection before its targets are looked at.
  local pool = balancers.get_balancer_by_id(upstream.id)
  if not pool then
    return nil, "no-healthy-target", "this worker has not built the Upstream's balancer yet"
  end
  if not pool.healthy then
    return nil, "no-healthy-target", "the Upstream has no healthy target"
  end

  return go(data, { type = "name", host = name, port = data.port }, ctx)
end


-- What it takes to come back to where the request goes now; nil if it goes nowhere.
function M.origin(ctx)
  local data = ctx.balancer_data
  if not data then
    return
  end

  local origin = remember(data)
  if origin.balancer then
    -- Its handle is released when the request leaves, so coming back takes a new peer. A known hash
    -- value leads to the same target again.
    origin.ip, origin.hostname, origin.balancer_handle = nil, nil, nil
  end
  return origin
end


-- Sends the request back to where `origin` was taken. Returns as `switch` does.
function M.go_back(ctx, origin)
  local data = ctx.balancer_data
  if data.host == origin.host and data.balancer == origin.balancer then
    return true
  end
  return go(data, origin, ctx)
end


return M
