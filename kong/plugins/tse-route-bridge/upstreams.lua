-- The Upstreams that a chain can choose, in memory: the balancer phase must neither yield nor reach for
-- a lock, a name server or the database, so all that could is done before, in the access phase, where
-- Kong itself does the same for the service's own upstream.

local client_certificates = require "kong.plugins.tse-route-bridge.client_certificates"
local complaints = require "kong.plugins.tse-route-bridge.complaints"


local ngx = ngx
local kong = kong
local ipairs = ipairs
local pcall = pcall
local tostring = tostring


local M = {}


-- How long a look lasts, in seconds. Events shorten it; this is for what no event tells, such as a
-- certificate that was renewed.
local MAX_AGE = 1

-- How long the first requests to a new Upstream wait for its balancer, in seconds, and how often they
-- look. A name server that does not answer must not hold up what can go elsewhere.
local MAX_WAIT, STEP = 0.5, 0.01

local balancer, balancers
local changes = 0   -- counts what may have changed an Upstream
local building = {}


local function note_change()
  changes = changes + 1
end


function M.init(modules)
  balancer, balancers = modules.balancer, modules.balancers

  local events = kong.worker_events
  events.register(note_change, "declarative", "reconfigure")
  events.register(note_change, "balancer", "upstreams")
  events.register(note_change, "balancer", "targets")
end


local function build(_, upstream)
  local ok, pool, err = pcall(balancers.create_balancer, upstream)
  building[upstream.id] = nil
  if not (ok and pool) then
    complaints.report("balancer " .. upstream.name, "upstream \"" .. upstream.name
                      .. "\" has no balancer: " .. tostring(not ok and pool or err))
  end
end


-- Kong builds the balancers of all Upstreams when it starts and after a reload, and does it for a
-- request that comes first. This is that request.
local function start_building(upstream)
  if not building[upstream.id] then
    building[upstream.id] = true
    if not ngx.timer.at(0, build, upstream) then
      building[upstream.id] = nil
    end
  end
end


-- What is known of an Upstream; nil if there is none of the name. Where Kong cannot say, what was
-- known holds.
local function look_up(name, known)
  local upstream, err = balancer.get_upstream_by_name(name)
  if err then
    complaints.report(name, "upstream \"" .. name .. "\" cannot be looked up: " .. tostring(err))
    return known
  end
  if not upstream then
    return
  end

  local pool = balancers.get_balancer_by_id(upstream.id)
  if not pool then
    start_building(upstream)
  end
  return {
    upstream = upstream,
    certificate = client_certificates.of(upstream),
    -- Kong forgets a balancer before it builds the next. The last one can still be asked.
    pool = pool or known and known.upstream.id == upstream.id and known.pool or nil,
  }
end


local function wait_for(entries)
  local waited = 0
  for _, entry in ipairs(entries) do
    local id = entry.upstream.id
    while not entry.pool and building[id] and waited < MAX_WAIT do
      ngx.sleep(STEP)
      waited = waited + STEP
      entry.pool = balancers.get_balancer_by_id(id)
    end
  end
end


-- Brings what is known of a chain's Upstreams up to date. May yield.
function M.prepare(chain)
  local now = ngx.now()
  if chain.known and chain.changes == changes and now < chain.due then
    return
  end

  -- Others go on with what is there, unless there is nothing.
  local before = chain.known or {}
  chain.changes, chain.due = changes, now + MAX_AGE

  local known, unbuilt = {}, {}
  for _, name in ipairs(chain.upstreams) do
    local entry = look_up(name, before[name])
    known[name] = entry
    if entry and not entry.pool then
      unbuilt[#unbuilt + 1] = entry
    end
  end
  wait_for(unbuilt)
  chain.known = known
end


-- In memory only. Returns the Upstream, its balancer and its client certificate; the balancer is nil
-- where the worker has none yet; all are nil if there is no Upstream of this name.
function M.find(chain, name)
  local entry = chain.known and chain.known[name]
  if not entry then
    return
  end

  local pool = balancers.get_balancer_by_id(entry.upstream.id)
  if pool then
    entry.pool = pool
  else
    chain.due = 0
  end
  return entry.upstream, entry.pool, entry.certificate
end


return M
