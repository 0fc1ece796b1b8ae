"""The same rules for every contender: tse-route's configuration, Envoy's native routes, Lua.

Rule n of N holds for the tenant n, so that requests of the last tenant ask most of a loop. With
the kind `header` every rule compares one header; with `mixed` the rules take turns at comparing a
header, a path, a parameter of the query, a cookie and a list of names.
"""

from __future__ import annotations

import json
from typing import Any

KINDS = ("header", "mixed")
# Four of five rules of the kind `mixed` don't look at the tenant's header: the last always does.
HEADER = "x-tse-route-upstream"


def _kind(kind: str, number: int, count: int) -> str:
    turns = ("header", "path", "query", "cookie", "list")
    return "header" if kind == "header" or number == count - 1 else turns[number % len(turns)]


def request(kind: str, count: int) -> list[str]:
    """A request that only the last rule holds for: its first line and its headers."""
    return ["GET /shop/cart?page=2&sort=price", f"x-tenant: tenant-{count - 1}", "cookie: session=4711; theme=dark"]


def tse_route(kind: str, count: int, **config: Any) -> str:
    rules = []
    for n in range(count):
        item: dict[str, Any]
        match _kind(kind, n, count):
            case "header":
                location, item = "header", {"key": "x-tenant", "operator": "eq", "value": f"tenant-{n}"}
            case "path":
                location, item = "path", {"operator": "prefix", "value": f"/tenants/{n}/"}
            case "query":
                location, item = "query", {"key": "tenant", "operator": "eq", "value": f"tenant-{n}"}
            case "cookie":
                location, item = "cookie", {"key": "tenant", "operator": "eq", "value": f"tenant-{n}"}
            case _:
                names = ",".join(f"tenant-{n}-{part}" for part in range(5))
                location, item = "header", {"key": "x-tenant", "operator": "in", "value": names}
        rules.append({"weight": 50, "condition": {location: [item]}, "upstream": [{"name": "canary"}]})
    return json.dumps({"rules": rules, **config})


def native(kind: str, count: int) -> list[dict[str, Any]]:
    """Routes of Envoy's own; a cookie is looked for by a pattern, as its routes have no better way."""
    routes = []
    for n in range(count):
        match: dict[str, Any] = {"prefix": "/"}
        match _kind(kind, n, count):
            case "header":
                match["headers"] = [{"name": "x-tenant", "string_match": {"exact": f"tenant-{n}"}}]
            case "path":
                match["prefix"] = f"/tenants/{n}/"
            case "query":
                match["query_parameters"] = [{"name": "tenant", "string_match": {"exact": f"tenant-{n}"}}]
            case "cookie":
                pattern = f"(^|.*; *)tenant=tenant-{n}(;.*|$)"
                match["headers"] = [{"name": "cookie", "string_match": {"safe_regex": {"regex": pattern}}}]
            case _:
                pattern = f"tenant-{n}-[0-4]"
                match["headers"] = [{"name": "x-tenant", "string_match": {"safe_regex": {"regex": pattern}}}]
        shown = [
            {"header": {"key": "x-kong-route-rule", "value": "50"}},
            {"header": {"key": "x-kong-route-upstream", "value": "canary"}},
        ]
        routes.append({"match": match, "route": {"cluster": "canary"}, "response_headers_to_add": shown})
    return routes


def lua(kind: str, count: int) -> str:
    """A script as an operator would write it: each part of the request is read once, when it is
    first needed, and the rules are a list that is walked until one holds."""
    rules = []
    for n in range(count):
        match _kind(kind, n, count):
            case "header":
                rules.append(f'{{"header", "tenant-{n}"}}')
            case "path":
                rules.append(f'{{"path", "/tenants/{n}/"}}')
            case "query":
                rules.append(f'{{"query", "tenant-{n}"}}')
            case "cookie":
                rules.append(f'{{"cookie", "tenant-{n}"}}')
            case _:
                names = ", ".join(f'["tenant-{n}-{part}"] = true' for part in range(5))
                rules.append(f'{{"list", {{{names}}}}}')
    return (
        "local rules = {\n  " + ",\n  ".join(rules) + "\n}\n" + _LUA.replace("HEADER", HEADER)
    )


_LUA = """
local function matching(headers)
  local tenant, path, query, cookie
  for _, rule in ipairs(rules) do
    local kind, value = rule[1], rule[2]
    if kind == "header" then
      tenant = tenant or headers:get("x-tenant") or ""
      if tenant == value then return rule end
    elseif kind == "list" then
      tenant = tenant or headers:get("x-tenant") or ""
      if value[tenant] then return rule end
    elseif kind == "path" then
      path = path or headers:get(":path") or ""
      if path:sub(1, #value) == value then return rule end
    elseif kind == "query" then
      path = path or headers:get(":path") or ""
      query = query or path:match("[?&]tenant=([^&#]*)") or ""
      if query == value then return rule end
    else
      cookie = cookie or (";" .. (headers:get("cookie") or "")):match("; *tenant=([^;]*)") or ""
      if cookie == value then return rule end
    end
  end
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if matching(headers) then
    headers:replace("HEADER", "canary")
    handle:clearRouteCache()
    handle:streamInfo():dynamicMetadata():set("bench", "routed", true)
  end
end

function envoy_on_response(handle)
  local metadata = handle:streamInfo():dynamicMetadata():get("bench")
  if metadata and metadata["routed"] then
    local headers = handle:headers()
    headers:add("X-Kong-Route-Rule", "50")
    headers:add("X-Kong-Route-Upstream", "canary")
  end
end
"""
