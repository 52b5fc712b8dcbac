-- Sends the requests of a file one after the other, from its top again when they end; answers figures as one line of JSON.
--   wrk … -s bench/wrk.lua http://127.0.0.1:8000 -- FILE
-- A line of the file: method, path, headers "Name: value" joined by "|", body; parted by tabs.
local requests, at = {}, 0

function init(args)
  local headers_of = {}
  for line in io.lines(args[1]) do
    local method, path, headers, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
    if not headers_of[headers] then
      local found = {}
      for name, value in headers:gmatch("([^|:]+): ([^|]*)") do found[name] = value end
      headers_of[headers] = found
    end
    requests[#requests + 1] = wrk.format(method, path, headers_of[headers], body ~= "" and body or nil)
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nBENCH {"requests": %d, "seconds": %.3f, "p50": %.3f, "p95": %.3f, "p99": %.3f, "errors": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.timeout + e.status))
end
