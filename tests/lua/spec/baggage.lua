-- Changes to single members of the baggage: the table that also holds the filter to it, and how they
-- reach the request.

local baggage = require "kong.plugins.tse-route-bridge.baggage"
local check = require "check"
local json = require "standin.json"
local message = require "message"
local Gateway = require "standin.gateway"


local function table_of_changes()
  local file = assert(io.open("tests/baggage.json"))
  local rows = assert(json.decode(file:read("*a")))
  file:close()
  return rows
end


-- What an upstream gets as `baggage` when a decision changes it like this (JSON).
local function changed(change, headers)
  local gateway = Gateway.started()
  gateway:add_upstream("stable", { targets = { "10.0.0.1:80" } })
  gateway:add_upstream("canary", { targets = { "10.0.0.2:80" } })
  local plan = gateway:plan(message.config({ "canary" }))
  local request = gateway:request({ plan = plan, headers = headers })
  request:decide(message.of(plan, {
    rule = "22", upstream = "canary", request_headers = '{"baggage":' .. change .. "}",
  }))
  request:connect()
  check.equal(gateway.log, {})
  return request.sent.baggage, gateway
end


return {
  { "the table of changes holds", function()
    local rows = table_of_changes()
    check.truthy(#rows > 20, "rows")
    for _, row in ipairs(rows) do
      local change = baggage.read({ set = row.members, keys = row.keys })
      local header, is_changed = baggage.apply(change, row.sent)
      local becomes = is_changed and (header or json.null) or false
      check.equal(becomes, row.becomes, table.concat(row.sent, " | "))
    end
  end },

  { "a member that does not fit is left out as a whole", function()
    local change = baggage.read({ set = { "lane=a" }, keys = { "lane" } })
    local room = 8192 - #"lane=a,"
    local fits = "k=" .. ("v"):rep(room - 2)
    check.equal(baggage.apply(change, { fits .. ",x=1" }), "lane=a," .. fits)
    check.equal(baggage.apply(change, { fits .. "v,x=1" }), "lane=a,x=1")
    check.equal(baggage.apply(change, { "\255,lane=1,x=\128" }), "lane=a,\255,x=\128")
  end },

  { "one header takes the place of all, in any spelling of its name", function()
    local change = '{"set":["lane=green"],"keys":["lane"]}'
    check.equal(changed(change, { { "Baggage", "a=1;p, lane=x" }, { "accept", "*/*" }, { "baggage", "b=2" } }),
                "lane=green,a=1;p,b=2")
    check.equal(changed(change, {}), "lane=green")
  end },

  { "it goes with its last member, and stays where nothing is taken from it", function()
    local change = '{"keys":["lane"]}'
    check.equal(changed(change, { { "baggage", "lane=1" }, { "baggage", "lane=2" } }), nil)
    check.equal(changed(change, { { "baggage", "a=1 , b=2" } }), "a=1 , b=2")
    local none, gateway = changed(change, { { "accept", "*/*" } })
    check.equal(none, nil)
    check.equal(gateway.walked, 0, "searches of requests without a baggage")
  end },

  { "after all other changes", function()
    check.equal(changed('{"set":["lane=green"],"keys":["lane"]},"set":[["baggage","a=1,lane=2"]]', {}),
                "lane=green,a=1")
  end },

  { "a change that is none is left out", function()
    for _, change in ipairs({ "7", "null", "{}", '{"set":["a=1"]}', '{"keys":7}', '{"keys":[7],"set":[7]}' }) do
      check.equal(changed(change, { { "baggage", "lane=1" } }), "lane=1", change)
    end
  end },
}
