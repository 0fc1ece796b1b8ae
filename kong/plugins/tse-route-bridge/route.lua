-- The properties that the filter and the bridge share, and what a decision does.
--
--   kong.tse_route.bridge   (get)  the version of this protocol
--   kong.tse_route.route    (set)  a decision as JSON; `{}` takes back an earlier one of the request
--   kong.tse_route.result   (get)  what became of it: routed, own, none, or an error's code
--   kong.tse_route.failures.<number of a configuration>
--                           (get)  failed requests that no filter was called for (outages.lua)
--   kong.service.upstream   (set)  Kong's own, made to work; for other filters
--
-- A setter that raises an error or returns a falsy first value traps the filter, which breaks every
-- request that it has at hand. So they always succeed, and the result is a property of its own. They
-- never return a constant either: a second set would be refused.

local complaints = require "kong.plugins.tse-route-bridge.complaints"
local decisions = require "kong.plugins.tse-route-bridge.decision"
local outages = require "kong.plugins.tse-route-bridge.outages"
local peer = require "kong.plugins.tse-route-bridge.peer"


local kong = kong
local ngx = ngx
local pairs = pairs
local pcall = pcall
local tostring = tostring


local M = {}


local PROTOCOL = "1"
local STATE = "tse_route_bridge"   -- the key in ngx.ctx
local NO_DECISION = { headers = {} }
local FAILED = { error = "bridge-failure", headers = {} }

local json


-- What the bridge knows about a request:
--   decision   the filter's last, or NO_DECISION
--   origin     the way back to the service's own upstream
--   upstream   the Upstream that the request has been sent to; nil for the service's own
--   error      why that is not what was decided
--   headers    the response headers that have been set
local function state_of(ctx)
  local state = ctx[STATE]
  if not state then
    state = { decision = NO_DECISION, origin = peer.origin(ctx), headers = {} }
    ctx[STATE] = state
  end
  return state
end


local function result_of(state)
  if state.error then
    return state.error
  elseif not state.decision.rule then
    return "none"
  end
  return state.upstream and "routed" or "own"
end


local function complain(name, code, detail)
  -- Other filters may have the name from a request: it must not forge log lines.
  local shown = tostring(name):sub(1, 200):gsub("%c", "?")
  complaints.report(shown, "upstream \"" .. shown .. "\" is not used (" .. code .. "): " .. detail)
end


-- What the request's response and log are to say, by kind of decision.SHOWN.
local function shown_of(state)
  local decision = state.decision
  return {
    rule = decision.rule,
    upstream = state.upstream,
    name = decision.rule and decision.name,
    error = state.error,
  }
end


-- Set here, response headers also reach the client on an answer that nginx makes itself, such as the
-- 502 for a refused connection.
local function show_in_headers(state, shown)
  local wanted, kinds = {}, decisions.SHOWN
  for i = 1, #kinds do
    local name = state.decision.headers[kinds[i]]
    if name then
      wanted[name] = shown[kinds[i]]
    end
  end

  for name in pairs(state.headers) do
    if not wanted[name] then
      ngx.header[name] = nil
    end
  end
  for name, value in pairs(wanted) do
    ngx.header[name] = value
  end
  state.headers = wanted
end


local function publish(state)
  local shown, shared, kinds = shown_of(state), kong.ctx.shared, decisions.SHOWN
  show_in_headers(state, shown)
  for i = 1, #kinds do
    shared["tse_route_" .. kinds[i]] = shown[kinds[i]]
  end
end


-- Takes the request back to the service's own upstream, if it has left. Returns an error's code if
-- there is no way back; then the request goes where it went before.
local function go_home(ctx, state)
  if not state.upstream then
    return
  end

  local ok, code, detail = peer.go_back(ctx, state.origin)
  if not ok then
    complain(state.origin.host, code, detail)
    return code
  end
  state.upstream = nil
end


-- Sends the request where the decision says. Returns an error's code if it goes elsewhere, or if the
-- filter reports one.
local function follow(ctx, state, decision)
  if not (decision.rule and decision.upstream) then
    local code = go_home(ctx, state)
    return decision.error or code
  end

  local ok, code, detail = peer.switch(ctx, decision.upstream)
  if ok then
    state.upstream = decision.upstream
    return
  end
  complain(decision.upstream, code, detail)
  go_home(ctx, state)
  return code
end


local function carry_out(ctx, decision)
  local state = state_of(ctx)
  state.error = follow(ctx, state, decision)

  -- Where there was no way back, the decision that brought the request there still explains it.
  if decision.rule or not state.upstream then
    state.decision = decision
  end
  publish(state)
end


local function decide(ctx, message)
  local decision = decisions.of(message, json)
  if not decision then
    complaints.report("(message)", "a decision of the filter cannot be read; filter and bridge are "
                      .. "perhaps not of the same release")
  end
  carry_out(ctx, decision or FAILED)
end


local function set_route(_, _, ctx, message)
  local ran, err = pcall(decide, ctx, message)
  if not ran then
    complaints.report("(bridge)", tostring(err))
    pcall(carry_out, ctx, FAILED)
  end
  return true, nil, false
end


local function get_result(_, _, ctx)
  local state = ctx[STATE]
  if not state then
    return false
  end
  return true, result_of(state), false
end


local function get_failures(_, _, _, configuration)
  local failures = outages.take(configuration)
  return failures ~= nil, failures, false
end


local function set_failures()
  return true, nil, false
end


-- Another filter's choice overrides a decision of tse-route that came before it, and is what a later
-- one starts from, as if the service had been configured so.
local function choose_upstream(ctx, name)
  local ok, code, detail = peer.switch(ctx, name)
  if not ok then
    complain(name, code, detail)
    kong.ctx.shared.tse_route_error = code
    return
  end

  local state = ctx[STATE]
  if state then
    state.decision, state.upstream, state.error = NO_DECISION, nil, nil
    publish(state)
    ctx[STATE] = nil
  end
end


local function set_service_upstream(_, _, ctx, name)
  local ran, err = pcall(choose_upstream, ctx, name)
  if not ran then
    complaints.report("(bridge)", tostring(err))
  end
  return true, nil, false
end


function M.register(modules)
  json = modules.json
  peer.init(modules)

  local properties = modules.properties
  properties.add_setter("kong.tse_route.route", set_route)
  properties.add_getter("kong.tse_route.result", get_result)
  properties.add_namespace_handlers("kong.tse_route.failures", get_failures, set_failures)
  properties.add_setter("kong.service.upstream", set_service_upstream)
  -- Last, because it tells the filter that the others are there.
  properties.add_getter("kong.tse_route.bridge", function()
    return true, PROTOCOL, true
  end)
end


-- An upstream's own header of the same name is added to those set above, not replaced by them, and a
-- client would see both. This leaves the truth alone, and no such header where there is nothing to
-- say.
function M.show_again(ctx)
  local state = ctx[STATE]
  if not state then
    return
  end

  for _, name in pairs(state.decision.headers) do
    ngx.header[name] = state.headers[name]
  end
end


-- Notes a request that failed where its decision took it, if no filter was called for the answer.
function M.note_outage(ctx)
  local state = ctx[STATE]
  local breaker = state and not state.error and state.decision.breaker
  if breaker and kong.response.get_source() == "error" then
    outages.note(breaker)
  end
end


-- What became of a request, for the log phase: rule, upstream and error, each nil if there is none;
-- nil if the filter decided nothing.
function M.outcome(ctx)
  local state = ctx[STATE]
  return state and shown_of(state)
end


return M
