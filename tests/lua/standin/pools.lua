-- Stands in for the balancers of Upstreams: round-robin, least-connections (which counts the handles
-- it has given out) and consistent hashing. A pool is { id, healthy, addresses, reports, ... }.

local M = {}


local algorithms = {}


algorithms["round-robin"] = function(pool)
  pool.turn = 0
  return function(handle)
    handle = handle or {}
    pool.turn = pool.turn % #pool.addresses + 1
    return pool.addresses[pool.turn], handle
  end
end


algorithms["least-connections"] = function(pool)
  local function let_go(handle)
    if handle.address then
      handle.address.connections = handle.address.connections - 1
      handle.address = nil
    end
  end

  return function(handle)
    if handle then
      let_go(handle)
    else
      handle = { release = let_go }
    end
    local best
    for _, address in ipairs(pool.addresses) do
      if not best or address.connections < best.connections then
        best = address
      end
    end
    best.connections = best.connections + 1
    return best, handle
  end
end


algorithms["consistent-hashing"] = function(pool)
  return function(handle, hash_value)
    handle = handle or {}
    if not handle.hash then
      assert(hash_value, "no value to hash")
      handle.hash = 0
      for i = 1, #hash_value do
        handle.hash = handle.hash * 31 % 65521 + hash_value:byte(i)
      end
    end
    return pool.addresses[handle.hash % #pool.addresses + 1], handle
  end
end


-- `dns()` is called where Kong may ask a name server, and may raise an error.
function M.new(upstream, dns)
  local pool = {
    id = upstream.id,
    healthy = #upstream.targets > 0 and not upstream.unhealthy,
    addresses = {},
    reports = {},
    finished = 0,
  }

  for i, target in ipairs(upstream.targets) do
    local host, port = target:match("^(.*):(%d+)$")
    local name = not host:find("^[%d.]+$") and host or nil
    pool.addresses[i] = {
      ip = name and "10.9.0." .. i or host, port = tonumber(port), name = name, connections = 0,
    }
  end

  local pick = algorithms[upstream.algorithm or "round-robin"](pool)

  function pool.getPeer(self, cache_only, handle, hash_value)
    if not self.healthy then
      return nil, "Balancer is unhealthy"
    end
    if upstream.getpeer_fails then
      return nil, upstream.getpeer_fails
    end
    if not cache_only then
      dns()
    end
    self.hash_value = hash_value
    local address
    address, handle = pick(handle, hash_value)
    handle.address = address
    return address.ip, address.port, address.name, handle
  end

  function pool.report_http_status(handle, status)
    pool.reports[#pool.reports + 1] = handle.address.ip .. ":" .. handle.address.port .. " " .. status
  end

  function pool.report_tcp_failure(handle)
    pool.report_http_status(handle, "refused")
  end

  function pool.afterBalance(_, _, handle)
    assert(handle, "no handle")
    pool.finished = pool.finished + 1
  end

  function pool.connections()
    local sum = 0
    for _, address in ipairs(pool.addresses) do
      sum = sum + address.connections
    end
    return sum
  end

  return pool
end


return M
