-- How long filter chains live: freeing any of them throws away all filter instances of the worker.

local check = require "check"
local message = require "message"
local Gateway = require "standin.gateway"


local MANY, TOO_MANY = 1000, 10000


local function new_gateway()
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  return gateway
end


local function retire(gateway, count)
  local plans = {}
  for i = 1, count do
    plans[i] = gateway:plan({ name = i % 2 == 0 and "tse-route" or "other", config = "{}" })
    gateway:collect(plans[i])
  end
  return plans
end


local function freed(plans)
  local count = 0
  for _, plan in ipairs(plans) do
    count = count + (plan.freed and 1 or 0)
  end
  return count
end


return {
  { "the collector frees nothing", function()
    local gateway = new_gateway()
    local plans = retire(gateway, MANY - 1)
    gateway:tick()
    check.equal(freed(plans), 0)
  end },

  { "many are freed together, once", function()
    local gateway = new_gateway()
    local plans = retire(gateway, MANY)
    check.equal(freed(plans), 0)
    gateway:tick()
    check.equal(freed(plans), MANY)
    check.equal(#gateway.log, 1)
    check.contains(gateway.log[1], "1000 filter chains of earlier configurations are freed")
    gateway:tick()
    check.equal(#gateway.log, 1)
  end },

  { "not while a request with a chain is on its way", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local plans = retire(gateway, MANY)
    local request = gateway:request({ plan = plan }):connect()
    gateway:tick()
    check.equal(freed(plans), 0)
    request:finish()
    gateway:tick()
    check.equal(freed(plans), MANY)
  end },

  { "unless they are too many", function()
    local gateway = new_gateway()
    local plan = gateway:plan(message.config({ "canary" }))
    local request = gateway:request({ plan = plan }):connect()
    local plans = retire(gateway, TOO_MANY)
    gateway:tick()
    check.equal(freed(plans), TOO_MANY)
    request:finish()
  end },

  { "requests without a chain of ours keep nothing", function()
    local gateway = new_gateway()
    local request = gateway:request({ plan = gateway:plan({ name = "other", config = "{}" }) }):connect()
    local plans = retire(gateway, MANY)
    gateway:tick()
    check.equal(freed(plans), MANY)
    request:finish()
  end },

  { "a plan is not held by what loads it", function()
    local gateway = new_gateway()
    local proxy_wasm = gateway.modules["resty.wasmx.proxy_wasm"]
    local plan = gateway:plan("{}")
    check.equal({ proxy_wasm.load(plan) }, { true })
    check.equal(gateway.ngx.ctx[proxy_wasm][plan], nil)
    plan.unloadable = true
    check.equal({ proxy_wasm.load(plan) }, { nil, "failed loading plan" })
  end },

  { "Kong's arguments to attach are passed on", function()
    local gateway = new_gateway()
    local plan, options = gateway:plan("{}"), { isolation = 1 }
    gateway:request({ plugins = function()
      gateway.modules["resty.wasmx.proxy_wasm"].attach(plan, options)
    end })
    check.equal(gateway.attached, { plan = plan, more = { options } })
  end },
}
