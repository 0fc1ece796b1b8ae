-- Lets the Ingress Controller's webhook accept KongPlugins of a filter.
--
-- The webhook posts each KongPlugin to /schemas/plugins/validate without the service or route that it
-- will be attached to, and Kong 3.9 demands one of a filter's plugin. There, and only there, the demand
-- is dropped: an instance that is really created is checked as before, by the Admin API and in
-- declarative files, since a global one would keep Kong from building any chain.

local ngx = ngx
local ipairs = ipairs
local type = type


local M = {}


-- The name is always there: Kong runs no check of its own making where all fields are missing.
local FIELDS = { "name", "service", "route" }


local function is_only_validated()
  local uri = ngx.get_phase() == "content" and ngx.var.uri
  return uri and uri:find("/schemas/plugins/validate/?$") ~= nil
end


local function set(value)
  return value ~= nil and value ~= ngx.null
end


local function check(entity)
  if is_only_validated() or set(entity.service) or set(entity.route) then
    return true
  end
  return nil, "at least one of these fields must be non-empty: 'service', 'route'"
end


-- `schema` is that of plugins. Changes nothing where Kong's check is not as expected.
function M.relax(schema, filter)
  local subschemas = type(schema) == "table" and schema.subschemas
  local subschema = type(subschemas) == "table" and subschemas[filter]
  local checks = subschema and subschema.entity_checks
  if type(checks) ~= "table" then
    return false
  end

  for i, one in ipairs(checks) do
    if type(one) == "table" and type(one.at_least_one_of) == "table" then
      checks[i] = {
        custom_entity_check = { field_sources = FIELDS, run_with_missing_fields = true, fn = check },
      }
      return true
    end
  end
  return false
end


return M
