-- Stands in for the registry behind kong.plugins.prometheus.exporter: names get the prefix when
-- printed, the number of labels must be right, and every set of label values is a series of its own.

local M = {}


local function series_of(metric, values)
  assert(#values == #metric.labels, "metric " .. metric.name .. " takes " .. #metric.labels
                                    .. " labels, got " .. #values)
  local parts = {}
  for i, label in ipairs(metric.labels) do
    assert(type(values[i]) == "string", "label " .. label .. " is no string")
    parts[i] = label .. '="' .. values[i] .. '"'
  end
  return "kong_" .. metric.name .. "{" .. table.concat(parts, ",") .. "}"
end


function M.new()
  local registry = { series = {}, gauges = {}, kinds = {}, help = {}, buckets = {} }

  local function register(kind, name, help, labels)
    assert(name:find("^[a-z_][a-z0-9_]*$"), "name " .. name)
    assert(not registry.kinds[name], "duplicate metric " .. name)
    registry.kinds[name], registry.help[name] = kind, help
    return { name = name, labels = labels }
  end

  function registry:counter(name, help, labels)
    local metric = register("counter", name, help, labels)
    function metric.inc(this, value, values)
      local series = series_of(this, values)
      self.series[series] = (self.series[series] or 0) + value
    end
    return metric
  end

  function registry:gauge(name, help, labels)
    local metric = register("gauge", name, help, labels)
    function metric.set(this, value, values)
      self.gauges[series_of(this, values)] = value
    end
    return metric
  end

  function registry:histogram(name, help, labels, buckets)
    local metric = register("histogram", name, help, labels)
    self.buckets[name] = buckets
    function metric.observe(this, value, values)
      local series = series_of(this, values)
      local observed = self.series[series] or {}
      observed[#observed + 1] = value
      self.series[series] = observed
    end
    return metric
  end

  function registry:size()
    local size = 0
    for _ in pairs(self.series) do
      size = size + 1
    end
    return size
  end

  return registry
end


return M
