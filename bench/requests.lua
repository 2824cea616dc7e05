-- Sends the prepared requests of a file with wrk. See bench/wrk.ts, which starts it and reads its last line.
-- Arguments: file, number of threads, "again" or "once", expected status or "any".

local threads = {}

function setup(thread)
  thread:set('slice', #threads)
  table.insert(threads, thread)
end

-- Each request in the file follows its length, as 8 hexadecimal digits. A thread keeps its own slice.
local function read_slice(path, thread_count)
  local file = assert(io.open(path, 'rb'))
  local kept, index = {}, 0
  while true do
    local digits = file:read(8)
    if digits == nil then break end
    local length = tonumber(digits, 16)
    if index % thread_count == slice then
      table.insert(kept, file:read(length))
    else
      file:seek('cur', length)
    end
    index = index + 1
  end
  file:close()
  return kept
end

function init(args)
  local prepared = read_slice(args[1], tonumber(args[2]))
  local count, used, may_repeat = #prepared, 0, args[3] == 'again'
  function request()
    used = used + 1
    if used > count then
      if not may_repeat or count == 0 then
        local failure = first_failure and ('; first bad answer: ' .. first_failure) or ''
        io.stderr:write('the prepared requests ran out' .. failure .. '\n')
        os.exit(3)
      end
      used = 1
    end
    return prepared[used]
  end
  failed = 0
  if args[4] == 'any' then return end
  local expected = tonumber(args[4])
  -- wrk collects headers and bodies only if this function exists.
  function response(status, headers, body)
    if status == expected then return end
    failed = failed + 1
    if first_failure == nil then first_failure = status .. ' ' .. body:sub(1, 500) end
  end
end

function done(summary, latency, requests)
  local wrong, first = 0, nil
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get('failed')
    first = first or thread:get('first_failure')
  end
  local errors = summary.errors
  io.write(string.format(
    '\nbench-result requests=%d microseconds=%d bytes=%d wrong=%d status=%d socket=%d timeout=%d',
    summary.requests, summary.duration, summary.bytes, wrong, errors.status,
    errors.connect + errors.read + errors.write, errors.timeout))
  io.write(string.format(' p50=%d p99=%d p99.9=%d max=%d\n',
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
  if first then io.write('bench-failure ' .. first:gsub('%s+', ' ') .. '\n') end
end
