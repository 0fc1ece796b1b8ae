-- Reads the decisions that the filter sends, and prepares what becomes of each.

local baggage = require "kong.plugins.tse-route-bridge.baggage"


local ipairs = ipairs
local type = type


local M = {}


-- What a decision can show in a response header, each under a name of the filter's choice.
local SHOWN = { "rule", "upstream", "name", "error" }

-- A configuration has a fixed set of decisions, so each is decoded once per worker. The bound is for
-- the sum of configurations over a worker's life.
local MAX_CACHED = 4096

-- Kong sends these headers from variables of its own, whatever the client's headers are.
local VARIABLES = {
  ["x-forwarded-for"] = "upstream_x_forwarded_for",
  ["x-forwarded-proto"] = "upstream_x_forwarded_proto",
  ["x-forwarded-host"] = "upstream_x_forwarded_host",
  ["x-forwarded-port"] = "upstream_x_forwarded_port",
  ["x-forwarded-path"] = "upstream_x_forwarded_path",
  ["x-forwarded-prefix"] = "upstream_x_forwarded_prefix",
  ["via"] = "upstream_via",
  ["te"] = "upstream_te",
}

local cache, cached = {}, 0


local function text(value)
  if type(value) == "string" and value ~= "" then
    return value
  end
end


local function names_of(list)
  local names = {}
  for _, name in ipairs(type(list) == "table" and list or {}) do
    if text(name) then
      names[#names + 1] = { name = name, variable = VARIABLES[name:lower()] }
    end
  end
  return names
end


local function pairs_of(list)
  local changes = {}
  for _, pair in ipairs(type(list) == "table" and list or {}) do
    if type(pair) == "table" and text(pair[1]) and type(pair[2]) == "string" then
      changes[#changes + 1] = {
        name = pair[1], value = pair[2], variable = VARIABLES[pair[1]:lower()],
      }
    end
  end
  return changes
end


-- nil where there is nothing to change.
local function changes_of(sent)
  if type(sent) ~= "table" then
    return
  end
  local changes = {
    remove = names_of(sent.remove), set = pairs_of(sent.set), add = pairs_of(sent.add),
    baggage = baggage.read(sent.baggage),
  }
  if #changes.remove + #changes.set + #changes.add > 0 or changes.baggage then
    return changes
  end
end


local function read(message, json)
  local sent = json.decode(message)
  if type(sent) ~= "table" then
    return false
  end

  local names = type(sent.headers) == "table" and sent.headers or {}
  local headers = {}
  for _, kind in ipairs(SHOWN) do
    headers[kind] = text(names[kind])
  end
  local decision = { id = text(sent.id), headers = headers, outcomes = {}, share = sent.share ~= false }

  -- An error of the filter stands in place of a rule.
  if text(sent.error) then
    decision.error = sent.error
    return decision
  end
  if not text(sent.rule) then
    return decision
  end

  decision.rule = sent.rule
  decision.name = text(sent.name)
  decision.upstream = text(sent.upstream)
  decision.breaker = text(sent.breaker)
  decision.changes = changes_of(sent.request_headers)

  local route_by = sent.route_by
  if type(route_by) == "table" and text(route_by.header) and text(route_by.value) then
    decision.tag = { name = route_by.header, value = route_by.value }
  else
    decision.destination = decision.upstream
  end
  return decision
end


-- Returns the decision, or false if the message is none. Decisions are shared between requests and
-- must not be changed:
--   id            the number of the configuration that decided
--   rule, name    the rule; no rule: nothing matched
--   upstream      the name to show; nil for the service's own upstream
--   destination   the Upstream to switch to
--   tag           the request header that a second tier reads, in place of a destination
--   changes       of request headers
--   breaker       the circuit breaker to which failures count
--   error         why the filter could not decide
--   headers       names of response headers by kind
--   share         whether other plugins are to read it
function M.of(message, json)
  local decision = cache[message]
  if decision == nil then
    if cached >= MAX_CACHED then
      cache, cached = {}, 0
    end
    decision = read(message, json)
    cache[message] = decision
    cached = cached + 1
  end
  return decision
end


local function new_outcome(decision, code)
  local outcome = {
    rule = decision.rule,
    name = decision.rule and decision.name,
    upstream = not code and decision.upstream or nil,
    error = code,
    breaker = decision.breaker,
    share = decision.share,
    published = {},
    shown = {},
  }
  for _, kind in ipairs(SHOWN) do
    if outcome[kind] then
      outcome.published[#outcome.published + 1] = {
        key = "tse_route_" .. kind, attribute = "tse_route." .. kind, value = outcome[kind],
      }
    end
    local name = decision.headers[kind]
    if name then
      -- No value: an upstream's own header of the name is taken away.
      outcome.shown[#outcome.shown + 1] = { name = name, value = outcome[kind] }
    end
  end
  return outcome
end


-- What the request's response, log and metrics are to say of a decision that was followed, or was not
-- for the reason `code`: rule, name, upstream, error, breaker, share; `published`, what other plugins and
-- spans are to have, if `share`; `shown`, a list of response headers. Shared between requests.
function M.outcome(decision, code)
  code = code or decision.error
  local key = code or ""
  local outcome = decision.outcomes[key]
  if not outcome then
    outcome = new_outcome(decision, code)
    decision.outcomes[key] = outcome
  end
  return outcome
end


-- The outcome of a request for which the filter could not decide, with its reason in a response header
-- unless that is nil.
function M.failure(code, header)
  return M.outcome({ headers = { error = header }, outcomes = {}, share = true }, code)
end


return M
