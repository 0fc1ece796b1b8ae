-- The Lua that the book shows.

local check = require "check"


-- The function on a page, which stands behind `access:`, with this as the global `kong`.
local function shown_in(page, kong)
  local file = assert(io.open(page))
  local text = file:read("*a")
  file:close()
  local body = assert(text:match("\n    access:\n    %- |\n(.-)```"), "no function in " .. page)
  local run = assert(loadstring(body))
  setfenv(run, { kong = kong })
  return run
end


-- What becomes of the header x-trace-id.
local function trace_id_for(traceparent)
  local changes = {}
  local service = {
    request = {
      set_header = function(name, value)
        changes[#changes + 1] = { name, value }
      end,
      clear_header = function(name)
        changes[#changes + 1] = { name }
      end,
    },
  }
  local request = {
    get_header = function(name)
      return ({ traceparent = traceparent })[name]
    end,
  }
  shown_in("docs/src/traces.md", { request = request, service = service })()
  return changes
end


return {
  { "a trace's id becomes a header, and a client's own is taken away", function()
    local id = "4bf92f3577b34da6a3ce929d0e0e4736"
    check.equal(trace_id_for("00-" .. id .. "-00f067aa0ba902b7-01"), { { "x-trace-id", id } })
    for _, other in ipairs({ "", "junk", "00--00f067aa0ba902b7-01", "00-" .. id, "00-x" .. id .. "-1-01" }) do
      check.equal(trace_id_for(other), { { "x-trace-id" } }, other)
    end
    check.equal(trace_id_for(nil), { { "x-trace-id" } })
  end },
}
