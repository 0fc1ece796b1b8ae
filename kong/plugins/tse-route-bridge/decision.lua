-- Reads the decisions that the filter sends.

local type = type


local M = {}


-- What a decision can show in a response header, each under a name of the filter's choice.
M.SHOWN = { "rule", "upstream", "name", "error" }

-- A configuration has a fixed set of decisions, so each is decoded once per worker. The bound is for
-- the sum of configurations over a worker's life.
local MAX_CACHED = 4096

local cache, cached = {}, 0


local function text(value)
  if type(value) == "string" and value ~= "" then
    return value
  end
end


local function read(message, json)
  local sent = type(message) == "string" and json.decode(message)
  if type(sent) ~= "table" then
    return false
  end

  local names = type(sent.headers) == "table" and sent.headers or {}
  local headers = {}
  for i = 1, #M.SHOWN do
    local kind = M.SHOWN[i]
    headers[kind] = text(names[kind])
  end

  -- An error of the filter stands in place of a rule.
  if text(sent.error) then
    return { error = sent.error, headers = headers }
  end

  return {
    rule = text(sent.rule),
    name = text(sent.name),
    upstream = text(sent.upstream),
    breaker = text(sent.breaker),
    headers = headers,
  }
end


-- Returns the decision, or false if the message is none. Decisions are shared between requests and
-- must not be changed.
function M.of(message, json)
  local decision = cache[message or ""]
  if decision == nil then
    if cached >= MAX_CACHED then
      cache, cached = {}, 0
    end
    decision = read(message, json)
    cache[message or ""] = decision
    cached = cached + 1
  end
  return decision
end


return M
