#!/usr/bin/env bash
# Checks a running gateway that has the configuration of kong.yml. Needs bash and curl only.
#
#   bash kong/test.sh http://127.0.0.1:8000
#
# Prints a line per case and a summary; the exit status is 1 if a case failed, and 2 if the gateway
# does not answer. REQUESTS is how many requests the split of the weights is measured on. A right
# split fails at most once in a million runs.
set -u
export LC_ALL=C # values are bytes

if [[ $# -ne 1 ]]; then
  echo "usage: bash kong/test.sh BASE_URL" >&2
  exit 2
fi
base=${1%/}
requests=${REQUESTS:-1000}
passed=0
failed=0
is_kong=0 # found out with the first answer

pass() {
  passed=$((passed + 1))
  printf 'ok    %s\n' "$1"
}

fail() {
  failed=$((failed + 1))
  printf 'FAIL  %s\n        %s\n' "$1" "$2"
}

# Sends a request: a path, then arguments of curl. What came back is in $status, $rule, $routed,
# $error (`-` where the response had no such header; joined by commas where it had several), in
# $served, the upstream that answered, and in $body.
send() {
  local path=$1 line value in_head=1
  shift
  status=- rule=- routed=- error=- served=- body=
  shopt -s nocasematch # for the names of headers
  while IFS= read -r line || [[ -n $line ]]; do
    if ((in_head)); then
      line=${line%$'\r'}
      value=${line#*:}
      value=${value# }
      case $line in
        HTTP/*) status=${line#* } status=${status%% *} ;;
        X-Kong-Request-Id:*) is_kong=1 ;;
        X-Kong-Route-Rule:*) rule=$(join "$rule" "$value") ;;
        X-Kong-Route-Upstream:*) routed=$(join "$routed" "$value") ;;
        X-Kong-Route-Error:*) error=$(join "$error" "$value") ;;
        "") [[ $status == 1?? ]] || in_head=0 ;;
      esac
    else
      [[ $served == - ]] && served=$line
      body+=$line$'\n'
    fi
  done < <(curl -sS -i --max-time 20 -H 'Expect:' "$@" "$base$path" 2>&1)
  shopt -u nocasematch
}

join() {
  if [[ $1 == - ]]; then printf %s "$2"; else printf %s "$1,$2"; fi
}

# Sends a request and compares: what the case is about, the upstream that is to answer, the rule and
# the upstream that the response is to claim, the path, arguments of curl.
expect() {
  local label=$1 want="200 $2 rule=$3 upstream=$4 error=-" path=$5
  shift 5
  send "$path" "$@"
  local got="$status $served rule=$rule upstream=$routed error=$error"
  if [[ $got == "$want" ]]; then
    pass "$label"
  else
    fail "$label" "expected $want; got $got"
  fi
}

# The upstream of the last request got this line.
expect_line() {
  if [[ $'\n'$body == *$'\n'"$2"$'\n'* ]]; then
    pass "$1"
  else
    fail "$1" "expected the upstream to be sent \"$2\"; it shows: ${body//$'\n'/ | }"
  fi
}

stable=stable
demo1=demo1.default.80.svc
demo2=demo2.default.80.svc
nginx=nginx.default.80.svc

send /header
if [[ $status != [1-5]?? ]]; then
  echo "no answer from $base: ${body:-$served}" >&2
  exit 2
fi

# --- the seed: header ---------------------------------------------------------------------------
expect "header: version 1 goes to demo1" demo1 22 $demo1 /header -H 'version: 1'
expect "header: the name in any case" demo1 22 $demo1 /header -H 'VERSION: 1'
expect "header: another version stays" $stable - - /header -H 'version: 2'
expect "header: no header stays" $stable - - /header
expect "header: an empty header stays" $stable - - /header -H 'version;'
expect "header: of two headers the first counts" demo1 22 $demo1 /header \
  -H 'version: 1' -H 'version: 2'
expect "header: of two headers the second does not count" $stable - - /header \
  -H 'version: 2' -H 'version: 1'

# --- the seed: query ----------------------------------------------------------------------------
expect "query: age 29 is less than 30" demo1 22 $demo1 '/query?age=29'
expect "query: age 9 is less than 30, as a number" demo1 22 $demo1 '/query?age=9'
expect "query: age -1.5 is less than 30" demo1 22 $demo1 '/query?age=-1.5'
expect "query: age 30 is not" $stable - - '/query?age=30'
expect "query: a word is not" $stable - - '/query?age=young'
expect "query: an empty value is not" $stable - - '/query?age='
expect "query: no parameter stays" $stable - - '/query?page=2'
expect "query: the first of two counts" $stable - - '/query?age=31&age=29'
expect "query: an escaped name is the same name" demo1 22 $demo1 '/query?%61ge=29'

# --- the seed: weights --------------------------------------------------------------------------
answers=$(curl -sS --max-time 120 "$base/weights?n=[1-$requests]" 2>/dev/null)
demo1_count=0 demo2_count=0 nginx_count=0
while IFS= read -r line; do
  case $line in
    demo1) demo1_count=$((demo1_count + 1)) ;;
    demo2) demo2_count=$((demo2_count + 1)) ;;
    nginx) nginx_count=$((nginx_count + 1)) ;;
  esac
done <<<"$answers"
# How many percentage points a share may be off by chance. Hoeffding: a deviation of t of n draws has a
# probability of 2 exp(-2nt²) at most. For a third of 1e-6 that makes 100t = √(78037 / n).
tolerance=1
while ((tolerance * tolerance * requests < 78037)); do
  tolerance=$((tolerance + 1))
done
share() { # upstream, expected percentage, count
  local low=$((($2 - tolerance) * requests)) high=$((($2 + tolerance) * requests))
  local label="weights: $1 gets $2% of $requests requests (observed $(($3 * 100 / requests))%)"
  if (($3 * 100 >= low && $3 * 100 <= high)); then
    pass "$label"
  else
    fail "$label" "$3 of $requests, which is off by more than $tolerance points"
  fi
}
share demo1 20 $demo1_count
share demo2 30 $demo2_count
share nginx 50 $nginx_count
if ((demo1_count + demo2_count + nginx_count == requests)); then
  pass "weights: every request was answered by one of the three"
else
  fail "weights: every request was answered by one of the three" \
    "$((demo1_count + demo2_count + nginx_count)) of $requests"
fi
truthful=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
  send /weights
  [[ "$rule $routed" == "10 $served.default.80.svc" ]] && truthful=$((truthful + 1))
done
if ((truthful == 10)); then
  pass "weights: the response names the upstream that answered"
else
  fail "weights: the response names the upstream that answered" "in $truthful of 10 responses"
fi

# --- a client's own internal header -------------------------------------------------------------
forged="x-tse-route-upstream: $nginx"
expect "forged header, no rule matches: no effect" $stable - - /header -H "$forged"
expect_line "forged header, no rule matches: removed" "x-tse-route-upstream: -"
expect "forged header, a rule matches: no effect" demo1 22 $demo1 /header \
  -H "$forged" -H 'version: 1'
expect "forged header, the decision is the own upstream: no effect" $stable 40 - /rules \
  -H "$forged" -H 'x-own: 1'
expect "forged response headers of a client are no decision" $stable - - /header \
  -H 'X-Kong-Route-Rule: 99' -H "X-Kong-Route-Upstream: $nginx"

# What bridge and filter say to each other on Kong, in every form that Kong lets through.
if ((is_kong)); then
  decision="{\"id\":\"1\",\"rule\":\"22\",\"upstream\":\"$nginx\"}"
  for name in x-tse-route-decision X-Tse-Route-Decision x_tse_route_decision X-TSE_Route-Decision; do
    expect "forged $name: no effect" $stable - - /header -H "$name: $decision"
    expect_line "forged $name: removed" "x-tse-route-decision: -"
    expect "forged $name twice, a rule matches: no effect" demo1 22 $demo1 /header \
      -H "$name: $decision" -H "$name: junk" -H 'version: 1'
    expect_line "forged $name twice, a rule matches: removed" "x-tse-route-decision: -"
  done
  for name in x-tse-route-failures X_Tse_Route_Failures; do
    expect "forged $name: no effect" $stable - - /header -H "$name: 1.0=1000"
    expect_line "forged $name: removed" "x-tse-route-failures: -"
  done
  expect "forged headers of all kinds at once" $stable - - /header \
    -H "x-tse-route-decision: $decision" -H "x_tse_route_decision: $decision" \
    -H "X_TSE_ROUTE_UPSTREAM: $nginx" -H "x-tse-route-upstream: $nginx" -H 'x_tse-route_failures: 1=1'
  expect_line "forged headers of all kinds: the upstream is removed" "x-tse-route-upstream: -"
  expect_line "forged headers of all kinds: the decision is removed" "x-tse-route-decision: -"
fi

# --- corner cases -------------------------------------------------------------------------------
expect "query: + is a space" demo1 90 $demo1 '/rules?q=a+b'
expect "query: %20 is a space" demo1 90 $demo1 '/rules?q=a%20b'
expect "query: %2B is a plus" $stable - - '/rules?q=a%2Bb'
expect "query: %zz stays %zz" demo2 85 $demo2 '/rules?q=%zz'
expect "query: a lone % harms nobody" $stable - - '/rules?q=%'
expect "query: bytes that are not UTF-8 harm nobody" $stable - - '/rules?q=%ff%fe'
expect "cookie: one of several" demo1 95 $demo1 /rules -H 'Cookie: a=b; track=green; c=d'
expect "cookie: in the second of two headers" demo1 95 $demo1 /rules \
  -H 'Cookie: a=b' -H 'Cookie: track=green'
expect "cookie: the first of a name counts" $stable - - /rules -H 'Cookie: track=blue; track=green'
expect "cookie: quotes are stripped" demo1 95 $demo1 /rules -H 'Cookie: track="green"'
expect "cookie: junk harms nobody" $stable - - /rules -H 'Cookie: ;;= =;track'
expect "header: bytes that are not UTF-8 are matched" nginx 80 $nginx /rules \
  -H $'x-bytes: caf\xe9'
expect "header: other bytes that are not UTF-8 harm nobody" $stable - - /rules \
  -H $'x-bytes: \xff\xfe' -H $'x-app-version: \xff' -H $'Cookie: track=\xff'
expect "version: 1.10.0 is at least 1.10.0" demo2 75 $demo2 /rules -H 'x-app-version: 1.10.0'
expect "version: 1.9.9 is not" $stable - - /rules -H 'x-app-version: 1.9.9'
expect "version: a pre-release is not" $stable - - /rules -H 'x-app-version: 1.10.0-rc.1'
expect "path_prefix: /rules/v2 and below" demo1 70 $demo1 /rules/v2/orders
expect "path_prefix: not /rules/v2x" $stable - - /rules/v2x
expect "OR: the header alone" demo2 65 $demo2 /rules -H 'x-beta;'
expect "OR: the cookie alone" demo2 65 $demo2 /rules -H 'Cookie: beta=1'
expect "in: a value of the stored list" nginx 60 $nginx /rules -H 'x-country: at'
expect "in: a part of a value is not in the list" $stable - - /rules -H 'x-country: a'
expect "method: DELETE" demo2 55 $demo2 /rules -X DELETE
expect "domain: host without port, any case" demo1 50 $demo1 /rules \
  -H 'Host: Canary.Example.COM:8000'
expect "clientIP: every address is in 0.0.0.0/0 or ::/0" nginx 45 $nginx /rules -H 'x-from: here'
expect "own upstream by decision: the rule is shown, no upstream" $stable 40 - /rules -H 'x-own: 1'
expect "absent parameter: ne holds" demo2 35 $demo2 /rules/absent
expect "absent parameter: ne does not hold on the value" $stable - - /rules/absent \
  -H 'x-tier: gold'
expect "request_headers: the upstream is right" demo1 30 $demo1 /rules/lane \
  -H 'X-Lane: forged' -H 'X-Secret: 1'
expect_line "request_headers: set replaces" "x-lane: blue"
expect_line "request_headers: remove removes" "x-secret: -"
expect "request_headers: two copies of each" demo1 30 $demo1 /rules/lane \
  -H 'X-Lane: a' -H 'x-lane: b' -H 'X-Secret: 1' -H 'x-secret: 2'
expect_line "request_headers: set leaves one copy" "x-lane: blue"
expect_line "request_headers: remove removes every copy" "x-secret: -"
expect_line "request_headers: nothing of the filter reaches the upstream" "x-tse-route-decision: -"
expect "request_headers: on the service's own upstream" $stable 28 - /rules/own-lane \
  -H 'X-Lane: a' -H 'X-Lane: b' -H 'X-Secret: 1'
expect_line "request_headers: set on the own upstream" "x-lane: own"
expect_line "request_headers: add on the own upstream" "x-target-version: added"
expect_line "request_headers: remove on the own upstream" "x-secret: -"
expect "share 0: the other upstream" demo2 25 $demo2 /rules/zero
expect "larger weight first" demo1 95 $demo1 '/rules/v2?q=a+b' -H 'Cookie: track=green'

# --- body rules ---------------------------------------------------------------------------------
json='Content-Type: application/json'
expect "body: a JSON field" demo1 30 $demo1 /body -H "$json" -d '{"user":{"tier":"gold"}}'
expect "body: another value" $stable - - /body -H "$json" -d '{"user":{"tier":"tin"}}'
expect "body: no such field" $stable - - /body -H "$json" -d '{"user":7}'
expect "body: broken JSON" $stable - - /body -H "$json" -d '{"user":'
expect "body: a form field" demo2 20 $demo2 /body -d 'a=1&plan=te%61m'
expect "body: as text" nginx 10 $nginx /body -H 'Content-Type: text/plain' -d 'a canary sings'
expect "body: chunked" demo1 30 $demo1 /body -H "$json" -H 'Transfer-Encoding: chunked' \
  -d '{"user":{"tier":"gold"}}'
expect "body: none" $stable - - /body
printf -v padding '%20000s' ''
expect "body: 20 KB" demo1 30 $demo1 /body -H "$json" \
  -d "{\"padding\":\"$padding\",\"user\":{\"tier\":\"gold\"}}"
printf -v padding '%70000s' ''
expect "body: above body_max_bytes there are no parameters" $stable - - /body -H "$json" \
  -d "{\"padding\":\"$padding\",\"user\":{\"tier\":\"gold\"}}"

expect_line "body: the upstream gets all of it" "content-length: 70037"
expect "body: a request header beside it" demo1 30 $demo1 /body -H "$json" -H 'X-Lane: mine' \
  -d '{"user":{"tier":"gold"}}'
expect_line "body: the request is sent on as it came" "x-lane: mine"
expect_line "body: with its length" "content-length: 24"

# --- services, Upstreams and routes of other kinds -----------------------------------------------
expect "a service that points to a host: a rule matches" demo1 20 $demo1 /plain -H 'x-go: 1' \
  -H 'X-Secret: 1' -H 'X-Secret: 2'
expect_line "a service that points to a host: set" "x-lane: blue"
expect_line "a service that points to a host: remove" "x-secret: -"
expect "a service that points to a host: the own upstream by decision" $stable 10 - /plain -H 'x-tag: 1'
expect_line "a service that points to a host: set on the own upstream" "x-lane: own"
expect "a service that points to a host: no rule matches" $stable - - /plain
expect "preserve_host: a rule matches" demo1 10 $demo1 /preserve -H 'x-go: 1' -H 'Host: shop.example'
expect_line "preserve_host: the client's Host" "host: shop.example"
expect_line "preserve_host: set" "x-lane: blue"
expect "preserve_host: no rule matches" $stable - - /preserve -H 'Host: shop.example'
expect_line "preserve_host: the client's Host there too" "host: shop.example"

send /rules/dead
if [[ $status == 50[23] && "$rule $routed" == "27 dead.default.80.svc" ]]; then
  pass "an upstream that refuses connections: the answer names it ($status)"
else
  fail "an upstream that refuses connections: the answer names it" \
    "got $status rule=$rule upstream=$routed error=$error"
fi
send /rules/empty -H 'X-Lane: mine'
if [[ $status == 503 || "$status $served $rule $routed $error" == "200 $stable 26 - no-healthy-target" ]]; then
  pass "an upstream without targets: the own upstream and a reason, or 503 ($status, error=$error)"
else
  fail "an upstream without targets: the own upstream and a reason, or 503" \
    "got $status $served rule=$rule upstream=$routed error=$error"
fi

if ((is_kong)); then
  expect_line "an upstream without targets: no changes of request headers" "x-lane: mine"
fi

expect "a service without a target of its own: a rule leads elsewhere" demo1 10 $demo1 /retired -H 'version: 1'
expect "a service without a target of its own: with a body" demo1 10 $demo1 /retired -H 'version: 1' -d a=1
send /retired
if [[ "$status $rule $routed" == "503 - -" ]]; then
  pass "a service without a target of its own: no rule matches, 503"
else
  fail "a service without a target of its own: no rule matches, 503" "got $status $served rule=$rule upstream=$routed"
fi

if ((is_kong)); then
  grpc=(--http2-prior-knowledge -X POST -H 'Content-Type: application/grpc' -H 'TE: trailers' --data-binary '')
  expect "gRPC: a rule matches" demo1 22 demo1.default.9000.svc /tour.Greeter/Hello "${grpc[@]}" \
    -H 'version: 1' -H 'X-Lane: a'
  expect_line "gRPC: set" "x-lane: blue"
  expect "gRPC: no rule matches" $stable - - /tour.Greeter/Hello "${grpc[@]}"
  expect "gRPC: a forged header" $stable - - /tour.Greeter/Hello "${grpc[@]}" -H "$forged"
  expect_line "gRPC: a forged header is removed" "x-tse-route-upstream: -"
  expect "an Upstream's host_header" "$(curl -sS -H 'X-User: ann' "$base/hashed" | head -1)" 10 \
    hashed.default.80.svc /hashed -H 'X-User: ann'
  expect_line "an Upstream's host_header is the Host" "host: hashed.example"
  answer=$(curl -sS -i --max-time 20 "$base/hashed" 2>&1 | tr -d '\r')
  if [[ $answer =~ [Ss]et-[Cc]ookie:\ seat=([-0-9a-f]{36})\;\ Path=/hashed\; ]]; then
    pass "an Upstream that hashes by cookie issues one"
    seat=${BASH_REMATCH[1]}
  else
    fail "an Upstream that hashes by cookie issues one" "got ${answer//$'\n'/ | }"
    seat=none
  fi
  send /buffered
  if [[ "$status $served $rule $routed $error" == "200 $stable - - response-buffering" ]]; then
    pass "a plugin that buffers responses: the response says that no rule has an effect"
  else
    fail "a plugin that buffers responses: the response says that no rule has an effect" \
      "got $status $served rule=$rule upstream=$routed error=$error"
  fi
fi

# --- stickiness ---------------------------------------------------------------------------------
# Asks 20 times in one go, with arguments of curl; what has answered is in $served, each once.
ask_20_times() {
  local path=$1
  shift
  served=$(curl -sS --max-time 60 "$@" "$base$path?n=[1-20]" 2>&1 |
    grep -ao '^demo[12]$' | sort | uniq -c | tr -s ' \n' ' ')
  served=${served# }
  served=${served% }
}

# What the case is about, how often which upstream is to answer, the path, arguments of curl.
expect_20_times() {
  local label=$1 want=$2
  shift 2
  ask_20_times "$@"
  if [[ $served == "$want" ]]; then pass "$label"; else fail "$label" "expected $want; got $served"; fi
}

# The function that docs/src/reference/assignment.md publishes says who goes where.
expect_20_times "sticky: ann is sent to demo1 20 times" "20 demo1" /sticky -H 'X-User: ann'
expect_20_times "sticky: bob is sent to demo2 20 times" "20 demo2" /sticky -H 'X-User: bob'
ask_20_times /sticky
if [[ $served == *demo1*demo2* ]]; then
  pass "sticky: without the header by chance ($served)"
else
  fail "sticky: without the header by chance" "got only $served"
fi
expect_20_times "sticky: a cookie that is there is the key" "20 demo2" /sticky/cookie \
  -H 'Cookie: theme=dark; uid=ann'

answer=$(curl -sS -i --max-time 20 "$base/sticky/cookie" 2>&1 | tr -d '\r')
cookie=$(sed -n 's/^[Ss]et-[Cc]ookie: //p' <<<"$answer")
first=$(grep -ao '^demo[12]$' <<<"$answer")
if [[ $cookie =~ ^uid=[0-9a-f]{32}\;\ Path=/sticky\;\ HttpOnly\;\ SameSite=Lax$ ]]; then
  pass "sticky: a missing cookie is issued"
else
  fail "sticky: a missing cookie is issued" "got ${cookie:-none}"
fi
expect_20_times "sticky: the issued cookie leads where its first answer came from, $first" \
  "20 $first" /sticky/cookie \
  -H "Cookie: ${cookie%%;*}"

if ((is_kong)); then
  served=$(curl -sS --max-time 60 -H 'X-User: ann' "$base/hashed?n=[1-20]" | grep -ac "^$(
    curl -sS --max-time 20 -H 'X-User: ann' "$base/hashed" | head -1
  )$")
  if [[ $served == 20 ]]; then
    pass "an Upstream that hashes by a header keeps a user to one target"
  else
    fail "an Upstream that hashes by a header keeps a user to one target" "$served of 20"
  fi
  others=$(for n in {1..40}; do
    curl -sS --max-time 20 -H "X-User: user-$n" "$base/hashed" | head -1
  done | sort -u | tr '\n' ' ')
  if [[ $others == "demo1 demo2 nginx " ]]; then
    pass "an Upstream that hashes by a header spreads users over its targets"
  else
    fail "an Upstream that hashes by a header spreads users over its targets" "$others"
  fi
  first=$(curl -sS --max-time 20 -H "Cookie: seat=$seat" "$base/hashed" | head -1)
  served=$(curl -sS --max-time 60 -H "Cookie: seat=$seat" "$base/hashed?n=[1-20]" | grep -ac "^$first$")
  if [[ $served == 20 ]]; then
    pass "an Upstream that hashes by cookie keeps a client to one target"
  else
    fail "an Upstream that hashes by cookie keeps a client to one target" "$served of 20"
  fi
fi

# --- other ways to attach -----------------------------------------------------------------------
expect "filter chain: a rule matches" nginx 22 $nginx /chain -H 'version: 1'
expect "filter chain: no rule matches" $stable - - /chain
expect "two tiers: the edge sets X-Target-Version" demo2 50 green /two-tier -H 'Cookie: track=green'
expect_line "two tiers: the tier behind sees it" "x-target-version: green"
expect "two tiers: no rule matches" $stable - - /two-tier
expect "two tiers: a client's own X-Target-Version: no effect" $stable - - /two-tier \
  -H 'X-Target-Version: green'
expect_line "two tiers: a client's own X-Target-Version: removed" "x-target-version: -"
expect "two tiers: two copies of it" $stable - - /two-tier \
  -H 'X-Target-Version: green' -H 'x-target-version: green'
expect_line "two tiers: two copies of it: removed" "x-target-version: -"
expect "two tiers: with underscores" $stable - - /two-tier \
  -H 'X_Target_Version: green' -H 'X-Target_Version: green'
if ((is_kong)); then
  expect_line "two tiers: with underscores: removed" "x-target-version: -"
fi
expect "two tiers: the edge overrules a client" demo2 50 green /two-tier -H 'Cookie: track=green' \
  -H 'X-Target-Version: blue' -H 'X_Target_Version: red'
expect_line "two tiers: the tier behind sees the edge's alone" "x-target-version: green"

# --- an upstream that does not exist ------------------------------------------------------------
# Kong stays with the service's own upstream and says so; Envoy has no such cluster and answers 503.
send /unknown
if [[ $status == 503 || "$status $served $routed" == "200 $stable -" && $error != - ]]; then
  pass "unknown upstream: the own upstream and a reason, or 503 ($status, error=$error)"
else
  fail "unknown upstream: the own upstream and a reason, or 503" \
    "got $status $served rule=$rule upstream=$routed error=$error"
fi

printf '\n%d passed, %d failed\n' $passed $failed
((failed == 0))
