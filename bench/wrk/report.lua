-- Reports of ever other people, as a proxy in front passes them on. Each thread has its own part of the addresses.
-- PART: another part for another run against the same server.
local threads = tonumber(os.getenv("PART") or "0")
function setup(thread)
  thread:set("part", threads)
  threads = threads + 1
end
local n = 0
function request()
  n = n + 1
  local address = string.format("2001:db8:%x:%x::1", part * 4096 + math.floor(n / 65536), n % 65536)
  return wrk.format("POST", "/api/v1/reports", {
    ["Content-Type"] = "application/json",
    ["X-Forwarded-For"] = address,
  }, '{"service":"s0","symptom":"app"}')
end
local accepted, other = 0, 0
function response(status)
  if status == 201 then accepted = accepted + 1 else other = other + 1 end
end
function done(summary, latency)
  io.write(string.format("p50 %.1f ms, p99 %.1f ms\n", latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
