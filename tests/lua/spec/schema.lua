-- What Kong reads when it loads the plugin.

local check = require "check"
local Gateway = require "standin.gateway"


local function load_schema()
  local typedefs = { no_consumer = { "no consumer" }, protocols_http = { "http protocols" } }
  package.loaded["kong.db.schema.typedefs"] = typedefs
  package.loaded["kong.plugins.tse-route-bridge.schema"] = nil
  return require "kong.plugins.tse-route-bridge.schema", typedefs
end


local function field(record, name)
  for _, entry in ipairs(record.fields) do
    if entry[name] then
      return entry[name]
    end
  end
end


return {
  { "it applies to all consumers, over http", function()
    local schema, typedefs = load_schema()
    check.equal(schema.name, "tse-route-bridge")
    check.equal(field(schema, "consumer"), typedefs.no_consumer)
    check.equal(field(schema, "protocols"), typedefs.protocols_http)
  end },

  { "it can be configured globally without a single field", function()
    local config = field(load_schema(), "config")
    check.equal(config.type, "record")
    for _, entry in ipairs(config.fields) do
      local name, definition = next(entry)
      check.truthy(definition.type and definition.description, name)
      check.truthy(definition.default ~= nil or not definition.required, name .. " has a default")
    end
    check.equal(field(config, "prometheus").default, true)
  end },

  { "the handler has what Kong demands of one", function()
    local handler = Gateway.new().handler
    check.equal(handler.PRIORITY, 850)
    check.truthy(handler.VERSION:find("^%d+%.%d+%.%d+$"), "version")
    for name, value in pairs(handler) do
      if type(value) == "function" then
        check.truthy(({ init_worker = true, header_filter = true, log = true })[name], name)
      end
    end
  end },
}
