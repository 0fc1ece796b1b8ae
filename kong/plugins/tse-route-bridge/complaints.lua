-- Error lines, at most one a minute for each subject, such as the name of an Upstream.

local kong = kong
local ngx = ngx
local pairs = pairs


local M = {}


local INTERVAL = 60

-- Of a line, in bytes.
local MAX_LENGTH = 1000

-- Subjects can come from requests, by way of other filters. Beyond this many within a minute, all
-- further ones share a line.
local MAX_SUBJECTS = 256
local OTHERS = "(others)"

-- subject -> { due = when it may be logged again, suppressed = how often it was not }
local subjects, count = {}, 0


local function forget_old(now)
  for subject, entry in pairs(subjects) do
    if entry.due <= now then
      subjects[subject] = nil
      count = count - 1
    end
  end
end


local function entry_of(subject, now)
  if not subjects[subject] and count >= MAX_SUBJECTS then
    forget_old(now)
    if count >= MAX_SUBJECTS then
      subject = OTHERS
    end
  end

  local entry = subjects[subject]
  if not entry then
    entry = { due = 0, suppressed = 0 }
    subjects[subject] = entry
    count = count + 1
  end
  return entry
end


function M.report(subject, message)
  local now = ngx.now()
  local entry = entry_of(subject, now)

  if now < entry.due then
    entry.suppressed = entry.suppressed + 1
    return
  end

  local more = ""
  if entry.suppressed > 0 then
    more = " (" .. entry.suppressed .. " more like this since the last line)"
  end
  entry.due, entry.suppressed = now + INTERVAL, 0
  -- A name could come from elsewhere: it must not forge log lines, nor fill the log.
  local shown = message:sub(1, MAX_LENGTH):gsub("%c", "?")
  kong.log.err("tse-route-bridge: ", shown, more)
end


return M
