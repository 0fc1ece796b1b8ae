-- What the filters of a worker are configured to do, as far as the bridge has a part in it.
--
-- Kong hands a filter its configuration as JSON text when it builds a chain. The bridge puts a member
-- of its own in front, which tells the filter that the bridge is there, and reads the rest for itself.

local ipairs = ipairs
local pairs = pairs
local setmetatable = setmetatable
local type = type


local M = {}


-- The version of what filter and bridge say to each other. Goes up with every change that an older
-- half would misunderstand.
M.PROTOCOL = 3

M.FILTER = "tse-route"

local DEFAULT_UPSTREAM_HEADER = "x-tse-route-upstream"
local DEFAULT_ERROR_HEADER = "X-Kong-Route-Error"

local json, new_token

-- Configurations that a chain of this worker has, or has had until the collector comes by: the same
-- text keeps its number over a reload.
local by_text = setmetatable({}, { __mode = "v" })
local by_id = setmetatable({}, { __mode = "v" })
local last_number = 0


function M.init(modules)
  json = modules.json
  new_token = modules.uuid.uuid
end


local function text(value)
  if type(value) == "string" and value ~= "" then
    return value
  end
end


local function object(value)
  return type(value) == "table" and value or {}
end


-- The names of all Upstreams that the configuration can choose.
local function upstreams_of(config)
  local names, seen = {}, {}
  local function add(name)
    if text(name) and not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end

  if config.route_by == "header" then
    return names
  end
  for _, rule in pairs(object(config.rules)) do
    for _, upstream in pairs(object(object(rule).upstream)) do
      add(object(upstream).name)
    end
    add(object(object(rule).circuit_breaker).fallback)
  end
  return names
end


local function has_breaker(config)
  for _, rule in pairs(object(config.rules)) do
    if type(object(rule).circuit_breaker) == "table" then
      return true
    end
  end
  return false
end


local function error_header_of(config)
  local headers = config.response_headers
  if headers == false then
    return
  end
  local name = object(headers).error
  if name == false then
    return
  end
  return text(name) or DEFAULT_ERROR_HEADER
end


local function read(config_text)
  local config = object(json.decode(config_text))
  last_number = last_number + 1
  return {
    -- The token makes it unguessable: a value that was not given by this worker is not followed.
    id = last_number .. "-" .. new_token():gsub("-", ""):sub(1, 16),
    upstreams = upstreams_of(config),
    has_breaker = has_breaker(config),
    internal_header = (text(config.upstream_header) or DEFAULT_UPSTREAM_HEADER):lower(),
    error_header = error_header_of(config),
  }
end


local function configuration_of(config_text)
  local configuration = by_text[config_text]
  if not configuration then
    configuration = read(config_text)
    by_text[config_text] = configuration
    by_id[configuration.id] = configuration
  end
  return configuration
end


-- Nothing of the operator's text is decoded and encoded again, which would change numbers and turn
-- empty lists into objects. What is no object stays: the filter refuses it.
local function with_member(config_text, member)
  local rest = config_text:match("^%s*{(.*)$")
  if not rest then
    return config_text
  end
  return "{" .. member .. (rest:find("^%s*}") and "" or ",") .. rest
end


-- `filters` is the list that Kong is about to build a chain from. Returns the list to build it from,
-- and what the bridge is to know about the chain; nothing of the latter without a filter of ours.
--
-- The list is Kong's own, and so are its entries: it compares them with those of the next reload, so
-- they are copied, not changed.
function M.prepare(filters)
  local count = 0
  for _, filter in ipairs(filters) do
    if filter.name == M.FILTER then
      count = count + 1
    end
  end
  if count == 0 then
    return filters
  end

  local copies, configurations = {}, {}
  for i, filter in ipairs(filters) do
    copies[i] = filter
    if filter.name == M.FILTER then
      local config_text = filter.config
      if not text(config_text) or config_text == "null" then
        config_text = "{}"
      end
      local configuration = configuration_of(config_text)
      configurations[#configurations + 1] = configuration

      local member = '"$bridge":{"protocol":' .. M.PROTOCOL .. ',"id":"' .. configuration.id .. '"'
                     .. (count > 1 and ',"others":' .. count - 1 or "") .. "}"
      local copy = {}
      for key, value in pairs(filter) do
        copy[key] = value
      end
      copy.config = with_member(config_text, member)
      copies[i] = copy
    end
  end
  return copies, configurations
end


-- Whether this worker has a configuration of this number.
function M.is_known(id)
  return by_id[id] ~= nil
end


return M
