-- Requests that failed without the filter being called, kept for its circuit breakers.
--
-- Where nginx answers by itself, such as with 502 for a refused connection, no filter is called, so
-- that it would never learn of a dead upstream. The log phase notes such a request under the circuit
-- breaker that the filter's decision named, and the next request of the same chain tells the filter.

local configuration = require "kong.plugins.tse-route-bridge.configuration"

local concat = table.concat
local pairs = pairs
local sort = table.sort


local M = {}


-- configuration -> circuit breaker -> failed requests
local counts = {}


-- `breaker` is the number of the configuration and that of the circuit breaker: `7-1f.2`.
function M.note(breaker)
  local id = breaker:match("^([^.]+)%.[^.]+$")
  -- Nobody would ask for those of a configuration that is gone.
  if not id or not configuration.is_known(id) then
    return
  end

  local of_configuration = counts[id]
  if not of_configuration then
    for old in pairs(counts) do
      if not configuration.is_known(old) then
        counts[old] = nil
      end
    end
    of_configuration = {}
    counts[id] = of_configuration
  end
  of_configuration[breaker] = (of_configuration[breaker] or 0) + 1
end


-- The counts of the configurations `ids` (keys) as `breaker=count`, separated by commas; nil if nothing
-- has failed. What is taken is not counted again.
function M.take(ids)
  local list
  for id in pairs(ids) do
    local of_configuration = counts[id]
    if of_configuration then
      counts[id] = nil
      list = list or {}
      for breaker, count in pairs(of_configuration) do
        list[#list + 1] = breaker .. "=" .. count
      end
    end
  end
  if list then
    sort(list)
    return concat(list, ",")
  end
end


return M
