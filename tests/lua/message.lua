-- Messages as the filter sends them, and configurations as Kong hands them to it.

local M = {}


M.HEADERS = '{"rule":"X-Kong-Route-Rule","upstream":"X-Kong-Route-Upstream",'
            .. '"name":"X-Kong-Route-Name","error":"X-Kong-Route-Error"}'


-- A configuration that can choose these Upstreams. `more` goes into its text.
function M.config(upstreams, more)
  local list = {}
  for i, name in ipairs(upstreams) do
    list[i] = ('{"name":"%s"}'):format(name)
  end
  return '{"rules":[{"upstream":[' .. table.concat(list, ",") .. "]}]" .. (more or "") .. "}"
end


-- What the bridge has given a filter of a plan: protocol, id, and how many others there are.
function M.member(plan, i)
  local protocol, id, others =
    plan.filters[i or 1].config:match('^{"$bridge":{"protocol":(%d+),"id":"([^".,=\\]+)"([^}]*)}')
  return tonumber(protocol), id, tonumber(others and others:match('^,"others":(%d+)$'))
end


-- A decision of a plan's filter. fields: rule, upstream, name, error, breaker (its number), and as JSON
-- headers, request_headers, route_by, share
function M.of(plan, fields, i)
  local _, id = M.member(plan, i)
  local parts = { ('"id":"%s"'):format(id) }
  for _, key in ipairs({ "rule", "upstream", "name", "error" }) do
    if fields[key] then
      parts[#parts + 1] = ('"%s":"%s"'):format(key, fields[key])
    end
  end
  if fields.breaker then
    parts[#parts + 1] = ('"breaker":"%s.%d"'):format(id, fields.breaker)
  end
  for _, key in ipairs({ "request_headers", "route_by", "share" }) do
    if fields[key] ~= nil then
      parts[#parts + 1] = ('"%s":%s'):format(key, tostring(fields[key]))
    end
  end
  parts[#parts + 1] = '"headers":' .. (fields.headers or M.HEADERS)
  return "{" .. table.concat(parts, ",") .. "}"
end


function M.route(plan, rule, upstream)
  return M.of(plan, { rule = rule, upstream = upstream })
end


-- Taken back when the body was seen.
function M.none(plan)
  local _, id = M.member(plan)
  return ('{"id":"%s"}'):format(id)
end


return M
