-- Tests of the Kong bridge plugin: `luajit tests/lua/run.lua` from the root of the repository.

-- Nothing but the repository: what is installed on a machine must not stand in for what Kong has.
package.path, package.cpath = "./?.lua;./tests/lua/?.lua", ""

local SPECS = {
  "spec.switch",
  "spec.hashing",
  "spec.connections",
  "spec.request_headers",
  "spec.baggage",
  "spec.outcomes",
  "spec.upstreams",
  "spec.certificates",
  "spec.failures",
  "spec.outages",
  "spec.chains",
  "spec.bridge_member",
  "spec.complaints",
  "spec.refusal",
  "spec.validation",
  "spec.metrics",
  "spec.spans",
  "spec.schema",
  "spec.documented",
  "spec.standins",
}

local Gateway = require "standin.gateway"

local passed, failed = 0, 0

for _, spec in ipairs(SPECS) do
  for _, test in ipairs(require(spec)) do
    local name, run = test[1], test[2]
    local ok, err = xpcall(run, debug.traceback)
    local violations = Gateway.violations()
    if ok and violations[1] then
      ok, err = false, table.concat(violations, "\n")
    end
    if ok then
      passed = passed + 1
      print("ok    " .. spec .. ": " .. name)
    else
      failed = failed + 1
      print("FAIL  " .. spec .. ": " .. name .. "\n" .. tostring(err))
    end
  end
end

print(passed .. " passed, " .. failed .. " failed")
os.exit(failed == 0 and passed > 0 and 0 or 1)
