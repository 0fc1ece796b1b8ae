-- Says in a request's root span what was done, where Kong traces requests
-- (KONG_TRACING_INSTRUMENTATIONS).
--
-- Kong's OpenTelemetry plugin sends the spans in its log phase, with the attributes that they have then.
-- So this comes before it, but as late as can be: a request may end without a response.

local M = {}


-- Kong keeps the spans of a request in its context, the root span first; there are none while tracing
-- is off. `outcome` as decision.lua gives it.
function M.annotate(ctx, outcome)
  local spans = ctx.KONG_SPANS
  local root = spans and spans[1]
  if not root or root.should_sample == false then
    return
  end

  local published = outcome.published
  for i = 1, #published do
    root:set_attribute(published[i].attribute, published[i].value)
  end
end


return M
