// The page in a real browser: everything that it is for.
//
// The table of decisions is that of `tests/envoy/decisions.py`, which the real Envoy answers too.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createRequire } from "node:module";
import { deflateRawSync, gzipSync, inflateRawSync } from "node:zlib";
import { chromium } from "playwright-core";
import { DIST, ROOT, serve } from "./serve.mjs";

const PYTHON = process.env.PYTHON ?? join(ROOT, "target/venv/bin/python");
const CLI = join(ROOT, "target/debug/tse-route");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** How long a condition is waited for: a loaded machine is no fault of the page. */
const PATIENCE = Number(process.env.PATIENCE ?? 60_000);

const EMPTY = { method: "GET", url: "/", headers: [], cookies: "", body: "", clientIp: "" };
const fragment = (state) => {
  const whole = { text: "", configuration: 0, request: EMPTY, clock: "", saved: [], ...state };
  return `#p=${deflateRawSync(JSON.stringify(whole)).toString("base64url")}`;
};

let server, browser, folder;

before(async () => {
  server = await serve();
  folder = mkdtempSync(join(tmpdir(), "tse-route-page-"));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
  });
});

after(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs on a fresh page, and asks of it that nothing went wrong and nothing was asked of anyone. */
function onPage(name, run, { hash = "", ...options } = {}) {
  test(name, async () => {
    const context = await browser.newContext({ viewport: { width: 1400, height: 1000 }, acceptDownloads: true, ...options });
    context.setDefaultTimeout(PATIENCE);
    const page = await context.newPage();
    const wrong = [];
    const foreign = [];
    page.on("pageerror", (error) => wrong.push(String(error)));
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && wrong.push(message.text()));
    context.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      const isOwn = origin === new URL(server.url).origin && request.method() === "GET" && !request.url().includes("?");
      if (!isOwn && protocol !== "data:" && protocol !== "blob:") foreign.push(request.url());
    });
    try {
      await page.goto(server.url + (typeof hash === "function" ? hash() : hash));
      await page.waitForSelector("body[data-ready]", { state: "attached" });
      await run(page, context);
      assert.deepEqual(wrong, []);
      assert.deepEqual(foreign, []);
    } finally {
      await context.close();
    }
  });
}

const text = (page, selector) => page.locator(selector).innerText();

/** Waits until the text of an element satisfies a regular expression, or what it is to be equal to. */
async function until(page, selector, wanted) {
  const [source, flags] = wanted instanceof RegExp ? [wanted.source, wanted.flags] : [`^${wanted.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`, ""];
  try {
    await page.waitForFunction(
      ([selector, source, flags]) =>
        new RegExp(source, flags).test(document.querySelector(selector)?.innerText.trim() ?? ""),
      [selector, source, flags],
    );
  } catch {
    assert.match(await text(page, selector), new RegExp(source, flags), selector);
  }
}

async function write(page, content) {
  await page.locator(".cm-content").click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(content);
}

const outcome = "[data-test=outcome]";

describe("the files of the page", { concurrency: 2 }, () => {
  const files = readdirSync(DIST, { recursive: true })
    .map((name) => join(DIST, String(name)))
    .filter((name) => statSync(name).isFile());

  test("are at most a megabyte, compressed", () => {
    const size = files.reduce((sum, name) => sum + gzipSync(readFileSync(name)).length, 0);
    assert.ok(size <= 1_000_000, `${size} bytes`);
    assert.ok(size > 300_000, `${size} bytes: something is missing`);
  });

  test("know no address", () => {
    for (const name of files.filter((name) => /\.(html|css)$/.test(name))) {
      assert.doesNotMatch(readFileSync(name, "utf8"), /(src|href)="(\/|https?:)|url\((\/|https?:)/, name);
    }
  });
});

describe("the editor", { concurrency: 2 }, () => {
  onPage("underlines faults at their place and says what would be accepted", async (page) => {
    await write(page, "rules:\n- weight: 101\n  upsteam: [{name: a}]\n  condition:\n    header: {key: v, operator: equals, value: 1}\n");
    await until(page, "#verdict", /^\d errors/);
    const faults = await page.locator("#faults li").allInnerTexts();
    const named = (path) => faults.find((fault) => fault.includes(path)) ?? "";
    assert.match(named("rules[0].weight"), /^2:11 .*101.*accepted is/s);
    assert.match(named("rules[0].upsteam"), /did you mean `upstream`/);
    assert.match(named("rules[0].condition.header.operator"), /equals/);
    assert.ok((await page.locator(".cm-lintRange-error").count()) >= 3);
    const underlined = await page.locator(".cm-lintRange-error").allInnerTexts();
    assert.ok(underlined.includes("101") && underlined.includes("upsteam"), underlined.join());
    await page.locator(".cm-lintRange-error", { hasText: "101" }).hover();
    await until(page, ".cm-tooltip-lint", /accepted is/);
    await until(page, "#explanation", /has errors/);
    assert.equal(await page.locator("#simulate").isDisabled(), true);
    // The list leads to the place.
    await page.locator("#faults button", { hasText: "2:11" }).click();
    assert.ok(await page.locator(".cm-editor.cm-focused").isVisible());
  });

  onPage("points at where a text is broken", async (page) => {
    for (const [broken, place] of [
      ["rules:\n- weight: 1\n  upstream: [{name: a}\n- weight: 2\n", /^[34]:/],
      ['{"rules": [{"weight": 1,}\n', /^[12]:/],
      ["rules:\n\t- weight: 1\n", /^2:/],
    ]) {
      await write(page, broken);
      await until(page, "#faults li", place);
      await until(page, "#explanation", /has errors/);
      assert.ok((await page.locator(".cm-lintRange-error").count()) > 0, broken);
    }
    await write(page, "rules: [{upstream: [{name: a}]}]");
    await until(page, "#verdict", "No faults.");
    await until(page, outcome, /decides: a/);
  });

  onPage("shows what a field is for", async (page) => {
    await write(page, "rules:\n- match_type: OR\n  upstream:\n  - name: a\n");
    await page.locator(".cm-line span", { hasText: "match_type" }).hover();
    await until(page, ".cm-tooltip .help", /match_type string/);
  });

  onPage("warns, and the configuration is used", async (page) => {
    await write(page, "rules:\n- weight: 5\n  upstream: [{name: a, weight: 40}]\n");
    await until(page, "#verdict", /^1 warning$/);
    await until(page, outcome, /40 %/);
    assert.equal(await page.locator(".cm-lintRange-warning").count(), 1);
  });

  const completions = [
    ["a field of the configuration", "ru", "rules"],
    ["a field of a rule", "rules:\n- na", "name"],
    ["a location", "rules:\n- condition:\n    coo", "cookie"],
    ["a field of an item in brackets", "rules:\n- condition:\n    header: {ke", "key"],
    ["an operator", "rules:\n- condition:\n    header:\n    - operator: not r", "not regex"],
    ["an operator in brackets", "rules:\n- condition:\n    header: {key: a, operator: path", "path_prefix"],
    ["a key of system", "rules:\n- condition:\n    system:\n    - key: clientI", "clientIP"],
    ["a field of JSON", '{"rules": [{"mat', "match_type"],
    ["a field of a manifest", "kind: KongPlugin\nplugin: tse-route\nconfig:\n  rules:\n  - upstream:\n    - req", "request_headers"],
    ["a field of a plugin of Kong", "services:\n- name: a\n  plugins:\n  - name: tse-route\n    config:\n      rules:\n      - hash_on_c", "hash_on_cookie"],
    ["a field of Envoy's configuration", 'static_resources:\n  x:\n    configuration:\n      "@type": x\n      value: |\n        {"rules": [{"circ', "circuit_breaker"],
    ["a field after a nested list", "rules:\n- upstream:\n  - name: a\n  wei", "weight"],
  ];
  onPage("completes fields, operators and keys", async (page) => {
    for (const [name, typed, completed] of completions) {
      await write(page, typed);
      await page.keyboard.press("Control+Space");
      const option = page.locator(".cm-tooltip-autocomplete li[aria-selected]");
      await option.waitFor();
      assert.equal(await option.locator(".cm-completionLabel").innerText(), completed, name);
      await option.click();
      await page.waitForFunction((word) => document.querySelector(".cm-content")?.textContent?.includes(word), completed);
      // What may be open by now, of the next field.
      await page.keyboard.press("Escape");
    }
  });

  onPage("lets the Tab key go on", async (page) => {
    await page.locator(".cm-content").click();
    await page.keyboard.press("Tab");
    await page.waitForFunction(() => !document.activeElement?.closest(".cm-editor"));
  });
});

describe("the examples", { concurrency: 2 }, () => {
  onPage("are free of faults, each with a request that a rule takes", async (page) => {
    const names = await page.locator("#example option").evaluateAll((all) => all.map((one) => one.value).filter(Boolean));
    assert.equal(names.length, 10);
    // A ramp that is over is worth a word, and when this one is, the calendar decides.
    const kong = readFileSync(join(ROOT, "examples/canary/kong.yaml"), "utf8");
    const [, start] = /start: "(.*?)"/.exec(kong);
    const minutes = [...kong.matchAll(/after: (\d+)m/g)].map((match) => Number(match[1]));
    const isOver = Date.now() >= Date.parse(start) + Math.max(...minutes) * 60_000;
    for (const name of names) {
      await page.selectOption("#example", name);
      await until(page, "#verdict", name === "kong" && isOver ? "1 warning" : "No faults.");
      if (!["kong", "envoy"].includes(name)) await until(page, outcome, /decides/);
    }
  });

  onPage("show each of several configurations of a file", async (page) => {
    await write(page, "services:\n- name: a\n  plugins:\n  - name: tse-route\n    config: {rules: [{name: of a, upstream: [{name: u}]}]}\n- name: b\n  plugins:\n  - name: tse-route\n    config: {rules: [{name: of b, upstream: [{name: u}]}]}\nupstreams:\n- name: u\n");
    await until(page, outcome, /of a/);
    await page.selectOption("#which", { label: "service b" });
    await until(page, outcome, /of b/);
  });
});

describe("a request", { concurrency: 2 }, () => {
  const CONFIG = `
rules:
- name: staff
  weight: 30
  condition:
    system: {key: clientIP, operator: in, value: 10.0.0.0/8}
    cookie: {key: who, operator: eq, value: me}
    body: {key: user.vip, operator: eq, value: true}
  upstream: [{name: green, request_headers: {set: [{name: x-target, value: green}], remove: [x-old]}}]
- name: testers
  weight: 20
  match_type: OR
  condition:
    header: {key: version, operator: eq, value: v2}
    query: {key: uid, operator: in, value: "7,8"}
  upstream: [{name: green}]
- name: others
  weight: 10
  upstream: [{name: blue, weight: 75}, {name: green, weight: 25}]
- name: "off"
  enabled: false
  upstream: [{name: x}]
response_headers: {name: x-rule-name}
`;

  onPage("is explained rule by rule with the values found", async (page) => {
    await write(page, CONFIG);
    await page.fill("#url", "/cart?uid=8");
    await page.fill("#headers", "version: v1\nAccept: */*");
    await until(page, '.step[data-rule="1"]', /found "v1"/);
    await until(page, outcome, /testers \(weight 20\) decides: green/);
    const of = (index) => page.locator(`.step[data-rule="${index}"]`);
    assert.match(await of(0).innerText(), /does not match.*no\s+cookie who eq "me" found absent/s);
    assert.match(await of(1).innerText(), /matches and decides.*one of these is enough.*no\s+header version eq "v2" found "v1".*yes\s+query uid in "7,8" found "8"/s);
    assert.match(await of(2).innerText(), /would match, but an earlier rule decides/);
    assert.match(await of(3).innerText(), /disabled/);
    assert.equal(
      await text(page, "[data-test=response-headers]"),
      "X-Kong-Route-Rule: 20\nX-Kong-Route-Upstream: green\nx-rule-name: testers",
    );
  });

  onPage("has cookies, a body and an address", async (page) => {
    await write(page, CONFIG);
    await page.fill("#method", "POST");
    await page.fill("#url", "/orders");
    await page.fill("#cookies", "a=1; who=me");
    await page.fill("#body", '{"user": {"vip": true}}');
    await page.fill("#client-ip", "10.1.2.3");
    await until(page, outcome, /staff \(weight 30\) decides: green/);
    await until(page, ".headers", /Changes to the request\s+− x-old\s+= x-target: green/);
    await page.fill("#client-ip", "11.1.2.3");
    await until(page, outcome, /others \(weight 10\) decides: one of these, drawn by weight/);
    await until(page, "table.shares", /blue\s+75 %\s+green\s+25 %/);
  });

  onPage("comes from a curl command", async (page) => {
    await write(page, CONFIG);
    await page.fill("#curl", `curl -sS -X PUT 'http://shop.example/a b?uid=7' \\\n  -H "version: it's" -b 'who=me' --cookie=x=1 --data-raw '{"a":"b"}' -A agent --compressed`);
    await until(page, "#curl-said", "Taken over.");
    assert.equal(await page.inputValue("#method"), "PUT");
    assert.equal(await page.inputValue("#cookies"), "who=me; x=1");
    assert.equal(await page.inputValue("#body"), '{"a":"b"}');
    assert.equal(await page.inputValue("#headers"), "version: it's\nuser-agent: agent\ncontent-type: application/x-www-form-urlencoded");
    await page.fill("#curl", "curl -G -d uid=7 --data-urlencode 'q=a&b' shop.example/x");
    await until(page, outcome, /testers/);
    assert.equal(await page.inputValue("#url"), "http://shop.example/x?uid=7&q=a%26b");
    for (const [command, said] of [
      ["wget x", "begins with curl"],
      ["curl -H", "-H has no value"],
      ["curl -d @file x", "reads a file"],
      ["curl --upload-file x y", "--upload-file is not known"],
      ["curl a b", "several URLs"],
      ["curl -s", "no URL"],
    ]) {
      await page.fill("#curl", command);
      await until(page, "#curl-said", new RegExp(said));
    }
  });

  onPage("that is none is an error in words", async (page) => {
    await page.fill("#headers", "no header");
    await until(page, "#explanation", /accepted is a header/);
  });

  onPage("may be issued a cookie", async (page) => {
    await write(page, "rules:\n- hash_on: cookie\n  hash_on_cookie: sticky\n  upstream: [{name: a, weight: 50}, {name: b, weight: 50}]\n");
    await until(page, "[data-test=response-headers]", /Set-Cookie: sticky=[0-9a-f]{32}; Path=\/; HttpOnly; SameSite=Lax/);
    await page.fill("#cookies", "sticky=me");
    await until(page, outcome, /decides: [ab], by the hash of cookie sticky "me"/);
  });
});

describe("saved requests", { concurrency: 2 }, () => {
  onPage("show what changed, and run in CI", async (page) => {
    const config = (weight) => `rules:\n- name: testers\n  weight: 20\n  condition: {header: {key: version, operator: eq, value: v2}}\n  upstream: [{name: green}]\n- name: all\n  weight: 10\n  upstream: [{name: blue, weight: ${100 - weight}}, {name: green, weight: ${weight}}]\n`;
    await write(page, config(10));
    await page.fill("#headers", "version: v2");
    await until(page, outcome, /testers/);
    await page.click("#save");
    await page.fill("#headers", "");
    await until(page, outcome, /all \(weight 10\)/);
    await page.click("#save");
    await until(page, "#saved-count", /^2 saved requests, all decided as when they were saved/);
    await write(page, config(30));
    await until(page, "#saved-count", /^2 saved requests, 1 decided otherwise now/);
    const rows = page.locator("#saved tr");
    assert.match(await rows.nth(0).innerText(), /same/);
    assert.match(await rows.nth(1).innerText(), /changed.*probabilities\.green: found 0\.3; expected 0\.1/s);

    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
    assert.equal(download.suggestedFilename(), "cases.yaml");
    const cases = join(folder, "cases.yaml");
    await download.saveAs(cases);
    const run = (weight) => {
      const file = join(folder, "config.yaml");
      writeFileSync(file, config(weight));
      return spawnSync(CLI, ["explain", "-c", file, "--cases", cases], { encoding: "utf8" });
    };
    assert.equal(run(10).status, 0, run(10).stdout + run(10).stderr);
    const changed = run(30);
    assert.equal(changed.status, 1);
    assert.match(changed.stdout, /probabilities\.green: found 0\.3; expected 0\.1/);

    await rows.nth(1).getByRole("button", { name: /^Accept/ }).click();
    await until(page, "#saved-count", /all decided as when they were saved/);
    await rows.nth(0).getByRole("button", { name: /^Open/ }).click();
    await until(page, outcome, /testers/);
    assert.equal(await page.inputValue("#headers"), "version: v2");
    await rows.nth(0).getByRole("button", { name: /^Remove/ }).click();
    await until(page, "#saved-count", /^1 saved request,/);
  });
});

describe("the split", { concurrency: 2 }, () => {
  onPage("of a million requests is simulated", async (page) => {
    await page.selectOption("#example", "weights");
    await until(page, outcome, /weight 10/);
    await page.click("#simulate");
    await until(page, "#split-said", "1,000,000 requests sent through the engine.");
    const rows = await page.locator("#split tbody tr").allInnerTexts();
    const shares = rows.map((row) => row.split("\t").map((cell) => cell.trim()));
    assert.deepEqual(shares.map(([name, configured]) => [name, configured]), [
      ["demo1.default.80.svc", "20 %"], ["demo2.default.80.svc", "30 %"], ["nginx.default.80.svc", "50 %"],
    ]);
    for (const [name, configured, observed, , requests] of shares) {
      const p = parseFloat(configured) / 100;
      const seen = Number(requests.replaceAll(",", ""));
      // Six standard deviations: by accident in two of a thousand million runs.
      assert.ok(Math.abs(seen - 1e6 * p) < 6 * Math.sqrt(1e6 * p * (1 - p)), `${name}: ${requests}`);
      assert.ok(Math.abs(parseFloat(observed) / 100 - seen / 1e6) < 1e-4, `${name}: ${observed}`);
    }
    await write(page, "rules: []");
    await until(page, "#split-said", /has changed since/);
  });

  onPage("shows its progress, and is cancelled", async (page) => {
    await page.selectOption("#example", "weights");
    await until(page, outcome, /weight 10/);
    await page.fill("#requests", "1000000000");
    await page.click("#simulate");
    await page.waitForFunction(() => document.querySelector("#progress").value > 0);
    assert.ok(await page.locator("#progress").isVisible());
    // The page goes on meanwhile.
    await page.fill("#url", "/other");
    await until(page, outcome, /weight 10/);
    await page.click("#cancel");
    await until(page, "#split-said", /^Cancelled after [\d,]+ requests/);
    const sent = Number((await text(page, "#split-said")).replace(/\D/g, ""));
    assert.ok(sent > 0 && sent < 1e9, String(sent));
    assert.equal(await page.locator("#progress").isVisible(), false);
  });

  onPage("of the request above", async (page) => {
    await page.selectOption("#example", "canary");
    await until(page, outcome, /testers/);
    await page.selectOption("#traffic", "given");
    await page.fill("#requests", "1000");
    await page.click("#simulate");
    await until(page, "#split-said", /^1,000 requests/);
    await until(page, "#split table[data-rule='0']", /1,000/);
  });
});

describe("progressive delivery", { concurrency: 2 }, () => {
  onPage("a ramp follows the clock that is dragged", async (page) => {
    await page.selectOption("#example", "ramp");
    await until(page, "#rollout-said", /^At 2030-01-31T10:00:00Z: shop-v1 80 %, shop-v2 20 %\.$/);
    await until(page, "table.shares", /shop-v2\s+20 %/);
    const over = page.locator("#rollout-chart .u-over");
    await over.scrollIntoViewIfNeeded();
    const box = await over.boundingBox();
    assert.ok(box);
    await page.mouse.move(box.x + box.width / 2, box.y + 80);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 2, box.y + 80, { steps: 5 });
    await page.mouse.up();
    await until(page, "#rollout-said", /shop-v2 100 %/);
    await until(page, "table.shares", /shop-v2\s+100 %/);
    assert.match(await page.inputValue("#clock"), /^2030-01-31T13:/);
    // The same by the keyboard.
    await page.focus("#rollout-clock");
    await page.keyboard.press("Home");
    await until(page, "#rollout-said", /^At 2030-01-31T07:30:00Z: shop-v1 100 %/);
    await page.fill("#clock", "2030-01-31T11:30:00Z");
    await until(page, "#rollout-said", /shop-v1 50 %, shop-v2 50 %/);
    await page.fill("#clock", "noon");
    await until(page, "#clock-said", /accepted is/);
    await page.click("#clock-now");
    assert.equal(await page.inputValue("#clock"), "");
  });

  onPage("only as many clients move as must", async (page) => {
    await page.selectOption("#example", "sticky");
    await until(page, "#movers-said", /^0 % of 20,000 clients move/);
    await page.fill("#mover-1", "5000");
    await until(page, "#movers-said", /^(1[89]|2[012])(\.\d+)? % of 20,000 clients move/);
    const said = await text(page, "#movers-said");
    const [, moved, necessary] = /^(.*?) % of .*at least (.*?) % must/.exec(said) ?? [];
    assert.equal(moved, necessary);
    assert.match(await text(page, "#movers-ways"), /^[\d.]+ % from checkout-v1 to checkout-v2$/);
    assert.equal(await page.inputValue("#mover-0"), "5000");
    const moving = await page.locator(".clients .client.moved").count();
    assert.ok(moving > 0 && moving < 240, String(moving));
    await page.click("#movers-reset");
    await until(page, "#movers-said", /^0 % of/);
  });

  onPage("a canary that fails is taken out", async (page) => {
    await page.selectOption("#example", "breaker");
    await page.fill("#breaker-rate", "90");
    await until(page, "#breaker-said", /^Taken out [1-9]\d* times?; at the end the breaker is closed/);
    await page.fill("#breaker-rate", "0");
    await until(page, "#breaker-said", /^Taken out 0 times; at the end the breaker is closed/);
    assert.ok(await page.locator("#breaker-chart canvas").isVisible());
    assert.equal(await text(page, "#breaker-rate-shown"), "0 %");
  });

  onPage("is shown where a rule has it", async (page) => {
    await page.selectOption("#example", "weights");
    await until(page, outcome, /weight 10/);
    for (const panel of ["rollout", "movers", "breaker"]) assert.equal(await page.locator(`#${panel}`).isVisible(), false);
  });
});

describe("import", { concurrency: 2 }, () => {
  const ROUTE = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  hostnames: [shop.example]
  rules:
  - matches: [{headers: [{name: version, value: v2}]}]
    timeouts: {request: 5s}
    backendRefs: [{name: green, port: 80, weight: 30}, {name: blue, port: 80, weight: 70}]
`;
  onPage("makes rules, with what is not carried over beside them", async (page) => {
    await page.click("#import-open");
    await page.fill("#foreign", ROUTE);
    await until(page, "#import-said", /^Imported, with/);
    assert.match(await text(page, "#remarks"), /line \d+:.*timeouts/);
    assert.match(await text(page, "#translated"), /kind: KongPlugin/);
    await page.click("#import-use");
    await until(page, "#verdict", /No faults|warning/);
    await page.fill("#url", "http://shop.example/");
    await page.fill("#headers", "version: v2");
    await until(page, "table.shares", /blue\.default\.80\.svc\s+70 %\s+green\.default\.80\.svc\s+30 %/);
  });

  const formats = [
    ["an Ingress with a canary", "import/ingress-canary.yaml"],
    ["Kong's canary", "import/kong-canary.yaml"],
    ["APISIX", "import/apisix.yaml"],
  ];
  for (const [name, file] of formats) {
    onPage(`reads ${name}`, async (page) => {
      await page.click("#import-open");
      await page.fill("#foreign", readFileSync(join(ROOT, "cli/tests/cli", file), "utf8"));
      await until(page, "#translated", /kind: KongPlugin/);
    });
  }

  onPage("says when there is nothing to import", async (page) => {
    await page.click("#import-open");
    await page.fill("#foreign", "kind: ConfigMap");
    await until(page, "#import-said", /^Nothing could be imported/);
    assert.equal(await page.locator("#import-use").isDisabled(), true);
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#import").isVisible(), false);
  });
});

describe("a link", { concurrency: 2 }, () => {
  onPage("holds everything", async (page, context) => {
    await page.selectOption("#example", "ramp");
    await page.fill("#url", "/ä?q=1");
    await page.fill("#headers", "a: 1\nb: 2");
    await page.fill("#body", "line\nline");
    await page.fill("#clock", "2030-01-31T11:30:00Z");
    await until(page, "table.shares", /50 %/);
    await page.click("#save");
    await until(page, "#saved-count", /^1 saved/);
    await page.click("#link");
    await until(page, "#said", /it holds everything/);
    const link = page.url();
    assert.ok(link.startsWith(`${server.url}#p=`), link);
    const again = await context.newPage();
    await again.goto(link);
    await again.waitForSelector("body[data-ready]", { state: "attached" });
    await until(again, "#saved-count", /^1 saved request, all decided as/);
    await until(again, "table.shares", /50 %/);
    for (const field of ["url", "headers", "body", "clock"]) {
      assert.equal(await again.inputValue(`#${field}`), await page.inputValue(`#${field}`), field);
    }
    assert.equal(await text(again, ".cm-content"), await text(page, ".cm-content"));
    const state = JSON.parse(inflateRawSync(Buffer.from(new URL(again.url()).hash.slice(3), "base64url")).toString());
    assert.equal(state.saved[0].at, "2030-01-31T11:30:00Z");
  });

  for (const [name, hash] of [
    ["damaged", "#p=AAAA"],
    ["not base64", "#p=%%%"],
    ["of something else", `#p=${deflateRawSync('{"text": 7}').toString("base64url")}`],
  ]) {
    onPage(`that is ${name} is refused in words`, async (page) => {
      await until(page, "#said", /link is damaged/);
      await until(page, outcome, /./);
    }, { hash });
  }

  onPage("that is opened in the same tab is shown", async (page) => {
    const hash = fragment({ text: "rules: [{name: of the link, upstream: [{name: a}]}]" });
    await page.evaluate((hash) => { location.hash = hash; }, hash);
    await until(page, outcome, /of the link/);
  });
});

describe("everyone", { concurrency: 2 }, () => {
  const states = ["header", "ramp", "sticky", "breaker"];
  for (const colorScheme of ["light", "dark"]) {
    onPage(`can use the page: ${colorScheme}`, async (page) => {
      const violations = async (where) => {
        await page.evaluate(AXE);
        const found = await page.evaluate(async () => (await globalThis.axe.run()).violations);
        const shown = found.map(({ id, nodes }) => `${where}: ${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`).join("\n")}`);
        assert.deepEqual(shown, []);
      };
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
      for (const name of states) {
        await page.selectOption("#example", name);
        await until(page, outcome, /decides/);
        await page.click("#save");
        await until(page, "#saved-count", /saved/);
        await violations(name);
      }
      await page.fill("#requests", "1000");
      await page.click("#simulate");
      await until(page, "#split-said", /sent through/);
      await write(page, "rule:\n- weight: 1\nrules: [{weight: 101, upstream: [{name: a}]}]\n");
      await until(page, "#verdict", /error/);
      await violations("faults");
      await page.click("#import-open");
      await page.fill("#foreign", "kind: TLSRoute");
      await until(page, "#import-said", /Nothing/);
      await violations("import");
      await page.keyboard.press("Escape");
      await page.click("#theme");
      assert.notEqual(await page.evaluate(() => document.documentElement.dataset.theme), colorScheme);
      await violations("the other theme");
    }, { colorScheme });
  }

  onPage("can use it on a phone", async (page) => {
    for (const name of states) {
      await page.selectOption("#example", name);
      await until(page, outcome, /decides/);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(width <= 360, `${name}: ${width} pixels`);
    }
    await page.tap("#import-open");
    assert.ok(await page.locator("#foreign").isVisible());
  }, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });

  onPage("can use it without a mouse", async (page) => {
    const reached = new Set();
    for (let presses = 0; presses < 60; presses++) {
      await page.keyboard.press("Tab");
      const focused = await page.evaluate(() => {
        const { id, className } = document.activeElement;
        return id || (className.includes("cm-content") ? "editor" : "");
      });
      reached.add(focused);
    }
    const wanted = ["example", "import-open", "link", "theme", "editor", "method", "url", "headers", "cookies", "client-ip", "body", "curl", "clock", "clock-now", "save", "requests", "traffic", "simulate"];
    assert.deepEqual(wanted.filter((id) => !reached.has(id)), []);
  });
});

describe("the table that Envoy answers too", { concurrency: 2 }, () => {
  const tables = JSON.parse(
    execFileSync(PYTHON, [join(ROOT, "tests/envoy/decisions.py")], { encoding: "utf8", maxBuffer: 1 << 26 }),
  );
  assert.ok(tables.reduce((sum, { cases }) => sum + cases.length, 0) > 500);
  for (const { name, config, cases } of tables) {
    onPage(`${name}: the page, \`explain\` and Envoy agree`, async (page) => {
      await until(page, "#saved-count", new RegExp(`^${cases.length.toLocaleString("en")} saved requests?, all decided as`));
      const rows = await page.locator("#saved tr").evaluateAll((rows) =>
        rows.map((row) => ({
          name: row.querySelector("th").innerText,
          kind: row.className,
          rule: row.dataset.rule,
          shares: [...row.querySelectorAll(".share")].map((share) => share.innerText),
        })),
      );
      const [configFile, casesFile] = [join(folder, `${name}.yaml`), join(folder, `${name}.cases.json`)];
      writeFileSync(configFile, config);
      writeFileSync(casesFile, JSON.stringify(cases));
      const run = spawnSync(CLI, ["explain", "-c", configFile, "--cases", casesFile, "--output", "json"], { encoding: "utf8", maxBuffer: 1 << 28 });
      assert.equal(run.status, 0, run.stderr);
      const told = JSON.parse(run.stdout).cases.map(({ answer }, i) => ({
        name: cases[i].name.replace(/\s+/g, " ").trim(),
        kind: "same",
        rule: answer.rule === null ? "" : String(answer.rule.weight),
        shares: Object.entries(answer.probabilities).map(([upstream, share]) => `${upstream} ${Number((share * 100).toFixed(2))} %`),
      }));
      assert.equal(told.length, cases.length);
      assert.deepEqual(rows.map((row) => ({ ...row, name: row.name.replace(/\s+/g, " ").trim() })), told);
    }, { hash: () => fragment({ text: config, saved: cases }) });
  }
});
