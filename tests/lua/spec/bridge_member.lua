-- What the bridge tells a filter when its configuration is loaded.

local check = require "check"
local json = require "standin.json"
local message = require "message"
local Gateway = require "standin.gateway"


-- The text that a filter of this configuration gets, with the id replaced.
local function given(config)
  local plan = Gateway.started():plan({ name = "tse-route", config = config })
  return (plan.filters[1].config:gsub('"id":"[^"]+"', '"id":"I"'))
end


local MEMBER = '{"$bridge":{"protocol":3,"id":"I"}'


return {
  { "the operator's text stays as it is", function()
    check.equal(given('{"rules":[],"a":1e400,"b":12345678901234567890}'),
                MEMBER .. ',"rules":[],"a":1e400,"b":12345678901234567890}')
    check.equal(given(' \n { \n"rules" : [ ] }\n'), MEMBER .. ', \n"rules" : [ ] }\n')
  end },

  { "nothing to configure", function()
    for _, config in ipairs({ "{}", "{ }", "", "null" }) do
      check.equal(json.decode(given(config))["$bridge"], { protocol = 3, id = "I" }, config)
    end
    check.equal(given(nil), MEMBER .. "}")
  end },

  { "what is no object is left for the filter to refuse", function()
    for _, config in ipairs({ "[]", "7", '"{}"', "rules" }) do
      check.equal(given(config), config)
    end
  end },

  { "JSON that is broken behind its first brace still says that the bridge is there", function()
    check.equal(given('{"rules":'), MEMBER .. ',"rules":')
  end },

  { "odd configurations are read as far as they go", function()
    for _, config in ipairs({
      '{"rules":7}', '{"rules":[7,null,[],{"upstream":7},{"upstream":[7,null,{"name":7}]}]}',
      '{"rules":[{"circuit_breaker":null},{"circuit_breaker":7}],"upstream_header":7}',
      '{"response_headers":{"error":7},"route_by":7}', '{"response_headers":null}',
    }) do
      check.equal(given(config), MEMBER .. "," .. config:sub(2))
    end
  end },

  { "Kong's own list is not changed: it compares it at the next reload", function()
    local gateway = Gateway.started()
    local filter = { name = "tse-route", config = "{}", enabled = true }
    local filters = { filter }
    gateway.modules["resty.wasmx.proxy_wasm"].new(filters)
    check.equal(filters, { filter })
    check.equal(filter, { name = "tse-route", config = "{}", enabled = true })
  end },

  { "other filters are left alone", function()
    local gateway = Gateway.started()
    local plan = gateway:plan({ name = "other", config = "{}" })
    check.equal(plan.filters, { { name = "other", config = "{}" } })
    local mixed = gateway:plan({ name = "other", config = "{}" }, "{}", { name = "another" })
    check.equal(mixed.filters[1], { name = "other", config = "{}" })
    check.equal({ message.member(mixed, 2) }, { 3, select(2, message.member(mixed, 2)) })
    check.equal(mixed.filters[3], { name = "another" })
  end },

  { "several filters of a chain are told of each other", function()
    local plan = Gateway.started():plan('{"a":1}', { name = "other" }, '{"b":2}', '{"c":3}')
    local ids = {}
    for _, i in ipairs({ 1, 3, 4 }) do
      local protocol, id, others = message.member(plan, i)
      check.equal({ protocol, others }, { 3, 2 })
      check.equal(ids[id], nil)
      ids[id] = true
    end
  end },

  { "the same text keeps its number, as long as a chain has it", function()
    local gateway = Gateway.started()
    local first = gateway:plan('{"a":1}')
    local _, id = message.member(first)
    check.equal(select(2, message.member(gateway:plan('{"a":1}'))), id)
    check.truthy(select(2, message.member(gateway:plan('{"a":2}'))) ~= id, "another number")

    first = nil
    collectgarbage()
    collectgarbage()
    check.truthy(select(2, message.member(gateway:plan('{"a":1}'))) ~= id, "a new number")
  end },

  { "numbers cannot be guessed", function()
    local _, id = message.member(Gateway.started():plan("{}"))
    check.truthy(id:find("^%d+%-%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$"), id)
  end },

  { "a chain that cannot be built is Kong's to report", function()
    local plan, err = Gateway.started():plan({ name = "x", config = "refuse" })
    check.equal({ plan, err }, { nil, "refused" })
  end },
}
