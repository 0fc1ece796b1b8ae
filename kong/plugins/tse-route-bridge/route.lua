-- A request's way through the bridge, phase by phase.
--
--   access          A client's own internal headers are taken away, before any plugin runs.
--   (attaching)     When all plugins have run and no filter has: the chain's own headers are taken
--                   away, its Upstreams brought into memory, failures told.
--   (filters)       The filter decides, and sets one request header.
--   balancer        The decision is read and followed, before Kong connects.
--   header_filter   The response says what was done.
--   log             Metrics and spans; failures are noted.
--
-- In the last three nothing may yield.

local chains = require "kong.plugins.tse-route-bridge.chains"
local client_certificates = require "kong.plugins.tse-route-bridge.client_certificates"
local complaints = require "kong.plugins.tse-route-bridge.complaints"
local decisions = require "kong.plugins.tse-route-bridge.decision"
local metrics = require "kong.plugins.tse-route-bridge.metrics"
local outages = require "kong.plugins.tse-route-bridge.outages"
local peer = require "kong.plugins.tse-route-bridge.peer"
local request_headers = require "kong.plugins.tse-route-bridge.request_headers"
local spans = require "kong.plugins.tse-route-bridge.spans"
local upstreams = require "kong.plugins.tse-route-bridge.upstreams"


local kong = kong
local ngx = ngx
local pcall = pcall
local tostring = tostring


local M = {}


-- The request headers between filter and bridge, with the variables of nginx that hold them.
local DECISION, DECISION_VARIABLE = "x-tse-route-decision", "http_x_tse_route_decision"
local FAILURES, FAILURES_VARIABLE = "x-tse-route-failures", "http_x_tse_route_failures"

-- A response header between bridge and filter: why a decision was not followed. The filter takes it
-- away.
local UNFOLLOWED = "x-tse-route-unfollowed"

-- Keys in ngx.ctx.
local CHAIN, OUTCOME, TOLD = "tse_route_chain", "tse_route_outcome", "tse_route_told"
local NO_PEER = "tse_route_no_peer"

local json, set_host_header, recreate_request


-- Where the service's own upstream has no peer, Kong answers before any filter has run, even those
-- requests that a rule sends elsewhere. So that answer waits until it is certain where the request goes.
local function put_off_failures(balancer)
  local execute = balancer.execute

  function balancer.execute(data, ctx)
    local ok, err, status = execute(data, ctx)
    local chain = not ok and ctx and ctx[CHAIN]
    if chain and data.try_count == 0 and chain.upstreams[1] and not ctx.buffered_proxying then
      data.ip, data.hostname = nil, data.host
      ctx[NO_PEER] = { status = status, reason = err }
      return true
    end
    return ok, err, status
  end
end


function M.init(modules)
  put_off_failures(modules.balancer)
  json = modules.json
  set_host_header = modules.balancer.set_host_header
  recreate_request = modules.ngx_balancer.recreate_request
end


-- No error of the bridge may become a request's.
local function guarded(run, ...)
  local ok, err = pcall(run, ...)
  if not ok then
    complaints.report("(bridge)", tostring(err))
  end
end


-- No plugin has run.
function M.enter()
  request_headers.clear(DECISION, DECISION_VARIABLE)
  request_headers.clear(FAILURES, FAILURES_VARIABLE)
end


local function prepare(ctx, chain)
  local guarded_headers = chain.headers
  for i = 1, #guarded_headers do
    request_headers.clear(guarded_headers[i].name, guarded_headers[i].variable)
  end

  if chain.has_breaker then
    local failures = outages.take(chain.ids)
    if failures then
      ngx.req.set_header(FAILURES, failures)
      ctx[TOLD] = true
    end
  end

  upstreams.prepare(chain)
  client_certificates.take_over(ctx)
end


-- All plugins have run, and no filter has.
function M.attach(ctx, chain)
  ctx[CHAIN] = chain
  chains.enter()
  guarded(prepare, ctx, chain)
end


-- Kong has found the service's own upstream.
function M.accessed(ctx)
  if ctx[CHAIN] then
    guarded(client_certificates.fetch, ctx)
  end
end


-- For other plugins, such as those that write logs.
local function publish(outcome)
  if outcome.share then
    local shared, published = kong.ctx.shared, outcome.published
    for i = 1, #published do
      shared[published[i].key] = published[i].value
    end
  end
end


local function route_name(ctx)
  local route = ctx.route or {}
  return tostring(route.name or route.id)
end


-- A plugin that has a `response` phase makes Kong ask the upstream inside its access phase, before any
-- filter has run. There is no decision to follow.
local function say_too_early(ctx, chain)
  complaints.report("response phase " .. route_name(ctx), "route \"" .. route_name(ctx)
           .. "\": a plugin that buffers responses (one with a `response` phase) makes Kong ask the "
           .. "upstream before filters run, so that tse-route decides nothing there")
  chain.too_early = chain.too_early or decisions.failure("response-buffering", chain.error_header)
  return chain.too_early
end


-- Returns the outcome; nil where nothing matched.
local function follow(ctx, chain, message)
  local decision = decisions.of(message, json)
  if not decision or not chain.ids[decision.id] then
    complaints.report("(message)", "a decision of the filter cannot be read; filter and bridge are perhaps not "
             .. "of the same release")
    return decisions.failure("bridge-failure", chain.error_header)
  end

  if decision.error then
    return decisions.outcome(decision)
  elseif not decision.rule then
    return
  end

  if decision.tag then
    ngx.req.set_header(decision.tag.name, decision.tag.value)
  elseif decision.destination then
    local code, detail = peer.switch(ctx, chain, decision.destination)
    if code then
      complaints.report(decision.destination, "upstream \"" .. decision.destination .. "\" is not used ("
               .. code .. "): " .. detail)
      -- Changes of request headers are for the upstream that was chosen, not for this one.
      return decisions.outcome(decision, code)
    end
  end

  if decision.changes then
    request_headers.change(decision.changes)
  end
  return decisions.outcome(decision)
end


-- nginx has written the request for the upstream before this phase, so it must be written once more.
local function rewrite_request(ctx)
  local var = ngx.var
  local ok, err = set_host_header(ctx.balancer_data, var.upstream_scheme, var.upstream_host)
  if ok then
    ok, err = recreate_request()
  end
  if not ok then
    complaints.report("(bridge)", "the request cannot be written anew: " .. tostring(err))
  end
end


local function decide(ctx, chain)
  if ctx.buffered_proxying then
    ctx[OUTCOME] = say_too_early(ctx, chain)
    publish(ctx[OUTCOME])
    return
  end

  local message = ngx.var[DECISION_VARIABLE]
  if not message and not ctx[TOLD] then
    return
  end

  if message then
    ngx.req.clear_header(DECISION)
    local ran, outcome = pcall(follow, ctx, chain, message)
    if not ran then
      complaints.report("(bridge)", tostring(outcome))
      outcome = decisions.failure("bridge-failure", chain.error_header)
    end
    if outcome then
      ctx[OUTCOME] = outcome
      publish(outcome)
    end
  end
  if ctx[TOLD] then
    ngx.req.clear_header(FAILURES)
  end
  rewrite_request(ctx)
end


-- Kong is about to connect, for the first time or again. Returns a status where there is nothing to
-- connect to.
function M.balance(ctx)
  local chain, data = ctx[CHAIN], ctx.balancer_data
  if not (chain and data) then
    return
  end
  if data.try_count == 0 then
    guarded(decide, ctx, chain)
    guarded(client_certificates.present, ctx)
    if ctx[NO_PEER] and not data.ip then
      complaints.report("no peer " .. tostring(data.host), "the service's own upstream \"" .. tostring(data.host)
                        .. "\" cannot be asked: " .. tostring(ctx[NO_PEER].reason))
      return ctx[NO_PEER].status
    end
  end
  client_certificates.name_connections(ctx)
end


-- Kong has told nginx where to connect to.
function M.balanced(ctx)
  client_certificates.restore(ctx)
end


local function show(ctx, outcome)
  local header, shown = ngx.header, outcome.shown
  for i = 1, #shown do
    header[shown[i].name] = shown[i].value
  end

  if outcome.breaker then
    -- The filter is called only for an answer of the upstream.
    local reason = not ctx.KONG_UNEXPECTED and outcome.error or nil
    -- Taking away what is not there would leave an empty entry, which filters see.
    if reason or header[UNFOLLOWED] then
      header[UNFOLLOWED] = reason
    end
  end
end


-- An upstream's own header of the same name is replaced, so that a client sees the truth alone.
function M.show(ctx)
  client_certificates.restore(ctx)
  local outcome = ctx[OUTCOME]
  if outcome then
    guarded(show, ctx, outcome)
  end
end


-- An instance of the plugin does without metrics here.
function M.do_not_count(ctx)
  ctx.tse_route_uncounted = true
end


local function finish(ctx)
  local outcome = ctx[OUTCOME]
  if outcome and outcome.breaker and not outcome.error and ctx.KONG_UNEXPECTED then
    outages.note(outcome.breaker)
  end
  if not ctx.tse_route_uncounted then
    metrics.count(ctx, outcome)
  end
end


function M.finish(ctx)
  if ctx[CHAIN] then
    client_certificates.restore(ctx)
    chains.leave()
    guarded(finish, ctx)
    local outcome = ctx[OUTCOME]
    if outcome and outcome.share then
      guarded(spans.annotate, ctx, outcome)
    end
  end
end


return M
