-- Messages as the filter sends them.

local M = {}


M.HEADERS = '{"rule":"X-Kong-Route-Rule","upstream":"X-Kong-Route-Upstream",'
            .. '"name":"X-Kong-Route-Name","error":"X-Kong-Route-Error"}'


-- fields: rule, upstream, name, error, breaker, headers (JSON)
function M.of(fields)
  local parts = {}
  for _, key in ipairs({ "rule", "upstream", "name", "error", "breaker" }) do
    if fields[key] then
      parts[#parts + 1] = ('"%s":"%s"'):format(key, fields[key])
    end
  end
  parts[#parts + 1] = '"headers":' .. (fields.headers or M.HEADERS)
  return "{" .. table.concat(parts, ",") .. "}"
end


function M.route(rule, upstream)
  return M.of({ rule = rule, upstream = upstream })
end


M.NONE = "{}"


return M
