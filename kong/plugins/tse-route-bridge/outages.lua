-- Requests that failed without the filter being called, kept for its circuit breakers.
--
-- Where nginx answers by itself, such as with 502 for a refused connection, no filter is called, so
-- that it would never learn of a dead upstream. The log phase notes such a request under the circuit
-- breaker that the filter's decision named, and the filter fetches the counts of its configuration
-- before the next decision that a circuit breaker has a say in.

local pairs = pairs
local tonumber = tonumber


local M = {}


-- A worker has as many circuit breakers as its configurations have upstreams; those of configurations
-- that are gone are never fetched.
local MAX_CONFIGURATIONS = 256

local counts, configurations = {}, 0


-- `breaker` is the number of the configuration and that of the circuit breaker: `7.2`.
function M.note(breaker)
  local configuration, number = breaker:match("^(%d+)%.(%d+)$")
  if not configuration then
    return
  end

  local of_configuration = counts[configuration]
  if not of_configuration then
    if configurations >= MAX_CONFIGURATIONS then
      counts, configurations = {}, 0
    end
    of_configuration = {}
    counts[configuration] = of_configuration
    configurations = configurations + 1
  end
  of_configuration[number] = (of_configuration[number] or 0) + 1
end


-- The counts of a configuration as `number=count`, separated by commas; nil if nothing has failed.
-- What is taken is not counted again.
function M.take(configuration)
  local of_configuration = counts[configuration]
  if not of_configuration then
    return
  end

  counts[configuration] = nil
  configurations = configurations - 1
  local pairs_of = {}
  for number, count in pairs(of_configuration) do
    pairs_of[#pairs_of + 1] = number .. "=" .. count
  end
  table.sort(pairs_of, function(a, b)
    return tonumber(a:match("^%d+")) < tonumber(b:match("^%d+"))
  end)
  return table.concat(pairs_of, ",")
end


return M
