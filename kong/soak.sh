#!/usr/bin/env bash
# Changes weights on a running Kong under load, and fails if a request fails or a worker is replaced.
# Needs bash, curl and wrk, a Kong without a database (kong.yml loaded, as docker-compose.yml does it),
# and its Admin API.
#
#   bash kong/soak.sh http://127.0.0.1:8000 http://127.0.0.1:8001
#
# Four routes are added to the configuration: plain shares, shares by a hash with a circuit breaker, a
# rule on the body, and changes of request headers. Every change gives all four other weights. At the
# end the configuration is that of kong.yml again.
#
# CHANGES is how many changes there are (100), PER_SECOND how many in a second (4; 0: as fast as Kong
# takes them), CONNECTIONS how many clients ask at once (32). With CHANGES=0, the load alone runs for
# SECONDS (60). CONFIG names another declarative file that has the same Upstreams.
#
# Prints what it has done; the exit status is 1 if something failed, and 2 if Kong or a tool is missing.
set -u
export LC_ALL=C

if [[ $# -ne 2 ]]; then
  echo "usage: bash kong/soak.sh BASE_URL ADMIN_URL" >&2
  exit 2
fi
base=${1%/}
admin=${2%/}
changes=${CHANGES:-100}
per_second=${PER_SECOND:-4}
connections=${CONNECTIONS:-32}
seconds=${SECONDS_OF_LOAD:-60}
config=${CONFIG:-$(dirname "${BASH_SOURCE[0]}")/kong.yml}

command -v wrk >/dev/null || {
  echo "wrk is not installed" >&2
  exit 2
}
[[ -r $config ]] || {
  echo "cannot read $config" >&2
  exit 2
}
work=$(mktemp -d)
load=
# shellcheck disable=SC2329 # called by the trap
clean_up() {
  [[ -n $load ]] && kill "$load" 2>/dev/null
  rm -rf "$work"
}
trap clean_up EXIT

# The ids of the worker processes, sorted, on a line.
workers() {
  curl -sS --max-time 10 "$admin/" 2>"$work/error" |
    grep -o '"workers":\[[0-9,]*\]' | grep -o '[0-9]*' | sort -n | tr '\n' ' '
}

# The configuration with shares $1 and $2 for demo1 and demo2, and the rest for nginx.
with_weights() {
  awk -v a="$1" -v b="$2" -v c=$((100 - $1 - $2)) '
    { print }
    function shares() {
      printf "            - {name: demo1.default.80.svc, weight: %d}\n", a
      printf "            - {name: demo2.default.80.svc, weight: %d}\n", b
      printf "            - {name: nginx.default.80.svc, weight: %d}\n", c
    }
    function route(name) {
      printf "  - name: soak-%s\n    paths: [/soak/%s]\n    plugins:\n", name, name
      printf "    - name: tse-route\n      config:\n        rules:\n"
    }
    /^services:/ {
      print "- name: soak\n  host: stable.default.80.svc\n  routes:"
      route("plain")
      print "          - weight: 10\n            upstream:"; shares()
      route("sticky")
      print "          - weight: 10\n            hash_on: header\n            hash_on_header: X-User"
      print "            circuit_breaker: {window: 10, min_requests: 1000000, max_error_rate: 1}"
      print "            upstream:"; shares()
      route("body")
      print "          - weight: 10\n            condition: {body: {key: plan, operator: eq, value: team}}"
      print "            upstream:"; shares()
      route("headers")
      print "          - weight: 10\n            upstream:"
      printf "            - name: demo1.default.80.svc\n              weight: %d\n", a
      print "              request_headers: {set: [{name: X-Lane, value: blue}], remove: [X-Secret]}"
      printf "            - {name: demo2.default.80.svc, weight: %d}\n", b
      printf "            - {name: nginx.default.80.svc, weight: %d}\n", c
    }
  ' "$config"
}

# Gives Kong the file $1 as its configuration.
apply() {
  local answer
  answer=$(curl -sS --max-time 60 -o "$work/answer" -w '%{http_code}' -F "config=@$1" "$admin/config" 2>&1)
  if [[ $answer != 201 ]]; then
    echo "FAIL  Kong does not take the configuration: $answer $(head -c 500 "$work/answer" 2>/dev/null)"
    failed=1
    return 1
  fi
}

failed=0
before=$(workers)
if [[ -z $before ]]; then
  echo "no answer from the Admin API at $admin: $(cat "$work/error")" >&2
  exit 2
fi
with_weights 40 30 >"$work/kong.yml"
apply "$work/kong.yml" || exit 1
for _ in {1..100}; do
  code=$(curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "$base/soak/plain" 2>"$work/error")
  [[ $code == 200 ]] && break
  sleep 0.1
done
if [[ $code != 200 ]]; then
  echo "no answer from $base: $code $(cat "$work/error")" >&2
  exit 2
fi

cat >"$work/load.lua" <<'END'
local count = 0
local requests = {}
function init()
  requests = {
    wrk.format("GET", "/soak/plain"),
    wrk.format("GET", "/soak/sticky", { ["X-User"] = "ann" }),
    wrk.format("POST", "/soak/body", { ["Content-Type"] = "application/x-www-form-urlencoded" },
               "plan=team"),
    wrk.format("GET", "/soak/headers", { ["X-Lane"] = "forged", ["X-Secret"] = "1",
                                         ["X-Tse-Route-Decision"] = "{}" }),
  }
end
function request()
  count = count % 4 + 1
  return requests[count]
end
local threads = {}
function setup(thread)
  threads[#threads + 1] = thread
end
function response(status, headers)
  -- An answer must come from where the decision went, and say so.
  if status ~= 200 or headers["X-Kong-Route-Error"] or not headers["X-Kong-Route-Upstream"] then
    wrong = (wrong or 0) + 1
    last = status .. " " .. tostring(headers["X-Kong-Route-Error"])
  end
end
function done(summary)
  local all, example = 0, nil
  for _, thread in ipairs(threads) do
    all, example = all + (thread:get("wrong") or 0), example or thread:get("last")
  end
  io.write(string.format("requests %d\nwrong %d %s\nconnect %d read %d write %d status %d timeout %d\n",
    summary.requests, all, example or "", summary.errors.connect, summary.errors.read,
    summary.errors.write, summary.errors.status, summary.errors.timeout))
end
END

longest=$seconds
((changes > 0)) && longest=86400
wrk -t 2 -c "$connections" -d "${longest}s" --timeout 20s -s "$work/load.lua" "$base" \
  >"$work/wrk" 2>&1 &
load=$!

start=$SECONDS
for ((i = 1; i <= changes; i++)); do
  with_weights $((i * 7 % 50)) $((i * 3 % 50)) >"$work/kong.yml"
  apply "$work/kong.yml" || break
  if [[ $per_second != 0 ]]; then
    sleep "$(awk -v n="$per_second" 'BEGIN { print 1 / n }')"
  fi
  if ((i % 100 == 0)); then
    now=$(workers)
    printf '%d changes, %d s, workers %s\n' "$i" $((SECONDS - start)) "$now"
    if [[ $now != "$before" ]]; then
      break
    fi
  fi
done
if ((changes > 0)); then
  sleep 2
  kill -INT "$load" 2>/dev/null # wrk prints its summary and ends
fi
wait "$load"
load=

after=$(workers)
if [[ $after == "$before" ]]; then
  printf 'ok    no worker was replaced: %s\n' "$after"
else
  printf 'FAIL  workers were replaced: %s, now %s\n' "$before" "${after:-none}"
  failed=1
fi

summary=$(grep -E '^(requests|wrong|connect) ' "$work/wrk")
if [[ $summary =~ requests\ ([0-9]+) && ${BASH_REMATCH[1]} -gt 0 ]]; then
  requests=${BASH_REMATCH[1]}
else
  cat "$work/wrk"
  requests=0
fi
if [[ $summary == *"wrong 0 "* && $summary == *"connect 0 read 0 write 0 status 0 timeout 0"* && $requests -gt 0 ]]; then
  printf 'ok    all %d requests were answered as decided\n' "$requests"
else
  printf 'FAIL  of %d requests some failed:\n%s\n' "$requests" "$summary"
  failed=1
fi

# The last change is in force in every worker: everything for one upstream.
if ((changes > 0)) && [[ $failed == 0 ]]; then
  with_weights 0 100 >"$work/kong.yml"
  apply "$work/kong.yml"
  others=1
  for _ in {1..50}; do
    others=$(curl -sS --max-time 60 "$base/soak/plain?n=[1-100]" 2>/dev/null |
      grep -aE '^(stable|demo1|nginx)$' -c)
    [[ $others == 0 ]] && break
    sleep 0.2
  done
  if [[ $others == 0 ]]; then
    printf 'ok    the last change is in force\n'
  else
    printf 'FAIL  the last change is not in force: %s of 100 requests go elsewhere\n' "$others"
    failed=1
  fi
fi

apply "$config"
exit $failed
