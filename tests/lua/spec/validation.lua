-- The webhook's question about a KongPlugin, and the check of real instances.

local check = require "check"
local Gateway = require "standin.gateway"


local EXCLUSIVE = { mutually_exclusive = { "service", "route" } }
local DEMAND = "at least one of these fields must be non-empty: 'service', 'route'"


local function subschema()
  return { entity_checks = { EXCLUSIVE, { at_least_one_of = { "service", "route" } } } }
end


-- The check that stands in place of Kong's, as a function of an instance.
local function relaxed(options)
  local mine = subschema()
  options = options or {}
  options.subschemas = { ["tse-route"] = mine, ["other-filter"] = subschema() }
  local gateway = Gateway.started(options)
  check.equal(#mine.entity_checks, 2)
  check.equal(mine.entity_checks[1], EXCLUSIVE)
  check.equal(options.subschemas["other-filter"], subschema())
  local custom = mine.entity_checks[2].custom_entity_check
  check.equal(custom.field_sources[1], "name", "a field that is never missing")
  check.equal(custom.run_with_missing_fields, true)
  return function(entity, phase, uri)
    gateway.phase, gateway.ngx.var = phase, { uri = uri }
    local ok, err = custom.fn(entity)
    return ok and "accepted" or err
  end
end


local GLOBAL = { name = "tse-route" }


return {
  { "the webhook's question is answered without a service or route", function()
    local ask = relaxed()
    for _, uri in ipairs({ "/schemas/plugins/validate", "/default/schemas/plugins/validate",
                           "/schemas/plugins/validate/" }) do
      check.equal(ask(GLOBAL, "content", uri), "accepted", uri)
    end
  end },

  { "real instances are checked as before", function()
    local ask = relaxed()
    for _, uri in ipairs({ "/plugins", "/config", "/plugins/schemas/plugins/validate/x",
                           "/schemas/plugins/tse-route" }) do
      check.equal(ask(GLOBAL, "content", uri), DEMAND, uri)
      check.equal(ask({ name = "tse-route", service = { id = "1" } }, "content", uri), "accepted")
      check.equal(ask({ name = "tse-route", route = { id = "1" } }, "content", uri), "accepted")
    end
    check.equal(ask(GLOBAL, "init_worker"), DEMAND)
    check.equal(ask(GLOBAL, "timer"), DEMAND)
    local null = ngx.null
    check.equal(ask({ name = "tse-route", service = null, route = null }, "content", "/plugins"), DEMAND)
  end },

  { "also on a control plane, and on a Kong that the bridge does not know", function()
    check.equal(relaxed({ role = "control_plane" })(GLOBAL, "content", "/schemas/plugins/validate"),
                "accepted")
    check.equal(relaxed({ version = "3.10.0" })(GLOBAL, "content", "/schemas/plugins/validate"),
                "accepted")
  end },

  { "a Kong whose check is another, or is none, keeps it", function()
    for _, checks in ipairs({ { EXCLUSIVE }, {}, { 7 } }) do
      local mine = { entity_checks = { unpack(checks) } }
      local gateway = Gateway.started({ subschemas = { ["tse-route"] = mine } })
      check.equal(gateway.log, {})
      check.equal(mine.entity_checks, checks)
    end
    check.equal(Gateway.started({ subschemas = {} }).log, {})
    check.equal(Gateway.started().log, {})
  end },
}
