// Every word of the page that is not in `index.html`'s head: what a translation replaces.
//
// Elements of the page name their label in `data-label`; the rest is asked for by the modules.

const count = (number: number, one: string, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

export const labels = {
  own: "the service's own upstream",

  page: {
    title: "Try rules",
    what: "Conditional, weighted traffic splitting for Kong and Envoy. This is the gateway's own engine; nothing leaves your browser.",
    skip: "Skip to the request",
    example: "Example",
    choose: "choose…",
    import: "Import…",
    link: "Copy link",
    linkCopied: "The link is in the clipboard: it holds everything on this page.",
    linkShown: "The link is in the address bar: it holds everything on this page.",
    linkBroken: "The link is damaged or not of this page; nothing of it is shown.",
    theme: "Light or dark",
    engineFailed: "The engine could not be started: this browser lacks WebAssembly or modules, or the page is not served by a web server.",
  },

  editor: {
    title: "Configuration",
    label: "Configuration, YAML or JSON",
    help: "YAML or JSON: a configuration, a KongPlugin, a Kong declarative file, an Envoy bootstrap. Ctrl-Space completes, F8 goes to the next fault; the pointer on a field shows what it is for.",
    which: "Configuration to try",
    unnamed: (index: number) => `configuration ${index + 1}`,
    sound: "No faults.",
    faults: (errors: number, warnings: number) =>
      [errors > 0 && count(errors, "error"), warnings > 0 && count(warnings, "warning")].filter(Boolean).join(", "),
    place: (line: number, column: number) => `${line}:${column}`,
  },

  request: {
    title: "Request",
    method: "Method",
    url: "URL or path",
    headers: "Headers, one in a line",
    cookies: "Cookies",
    body: "Body",
    clientIp: "Client address",
    curl: "Or paste a curl command",
    save: "Save this request",
  },

  curl: {
    done: "Taken over.",
    noCurl: "accepted is a command that begins with curl",
    noUrl: "the command has no URL",
    twoUrls: "the command has several URLs; accepted is one",
    noValue: (option: string) => `${option} has no value`,
    file: (option: string) => `${option} reads a file, which the page cannot; accepted is the text itself`,
    unknown: (option: string) => `${option} is not known here`,
  },

  outcome: {
    title: "What becomes of it",
    none: "No rule matches: the request goes on untouched.",
    decides: "decides:",
    byChance: "one of these, drawn by weight",
    byHash: (on: string, key: string) => `, by the hash of ${on} ${JSON.stringify(key)}`,
    probabilities: "Where it goes",
    responseHeaders: "Response headers",
    noHeaders: "none",
    requestHeaders: "Changes to the request",
    oneDraw: "of one draw",
    unusable: "The configuration has errors: no gateway would use it.",
  },

  rule: {
    name: (name: string, weight: number) => `${name} (weight ${weight})`,
  },

  trace: {
    title: "Rule by rule",
    always: "no condition: always",
    any: "one of these is enough",
    yes: "yes",
    no: "no",
    open: "?",
    found: "found",
    absent: "absent",
    fates: {
      decides: "matches and decides",
      fails: "does not match",
      overtaken: "would match, but an earlier rule decides",
      "not reached": "not reached, and would not match",
      disabled: "disabled",
    },
  },

  saved: {
    title: "Saved requests",
    what: "They are decided again at each change. As a file they run in CI: tse-route explain -c FILE --cases cases.yaml",
    table: "Table of saved requests",
    columns: ["Request", "Rule", "Upstream", "Since it was saved", "Actions"],
    export: "Export as cases.yaml",
    none: "No saved requests.",
    count: (all: number, changed: number) =>
      `${count(all, "saved request")}, ${changed === 0 ? "all decided as when they were saved" : `${changed} decided otherwise now`}.`,
    unnamed: (number: number, request: string) => `${number}. ${request}`,
    noRule: "no rule",
    same: "same",
    changed: "changed",
    open: "Open",
    accept: "Accept",
    remove: "Remove",
  },

  clock: {
    label: "Clock (UTC; empty is now)",
    now: "Now",
    bad: "accepted is a time as in 2030-01-31T08:00:00Z",
  },

  split: {
    title: "The split",
    requests: (number: number) => `${count(number, "request")}`,
    number: "Requests",
    traffic: "Of what kind",
    madeUp: "made up for each rule in turn",
    given: "the request above",
    start: "Simulate",
    cancel: "Cancel",
    progress: "Progress of the simulation",
    working: "Simulating…",
    cancelled: (number: number) => `Cancelled after ${count(number, "request")}.`,
    done: (number: number) => `${count(number, "request")} sent through the engine.`,
    outdated: "The configuration has changed since.",
    result: "Result of the simulation",
    columns: ["Upstream", "Configured", "Observed", "Deviation", "Requests", "Shares"],
    points: (points: number) => `${points >= 0 ? "+" : "−"}${Math.abs(points).toFixed(2)}`,
    p: (p: number) => `(p = ${p.toFixed(3)})`,
    suspicious: (p: number) => `(p = ${p.toExponential(1)}: hardly chance)`,
    unmatched: (number: number) => `${count(number, "request")} matched no rule.`,
    without: (rules: string) => `No request could be made up for ${rules}; the request above can be one.`,
  },

  chart: { time: "time" },

  rollout: {
    title: "The ramp",
    what: "Drag the line, or the slider: everything on the page happens at that time.",
    rule: "Rule of the ramp",
    clock: "Clock of the page",
    at: (time: string, shares: string[]) => `At ${time}: ${shares.join(", ")}.`,
  },

  movers: {
    title: "Who moves",
    what: "Drag a weight: clients that the rule recognises move only as far as they must.",
    rule: "Rule with hash_on",
    reset: "As configured",
    moved: "has moved",
    grid: (number: number) => `${number} clients by their upstream, those that have moved with a ring`,
    said: (share: string, necessary: string, clients: number) =>
      `${share} of ${count(clients, "client")} move; at least ${necessary} must.`,
    way: (from: string, to: string, share: string) => `${share} from ${from} to ${to}`,
  },

  breaker: {
    title: "When an upstream fails",
    what: "In the shaded time this share of the upstream's answers fails; the circuit breaker takes it out and lets it in again.",
    rule: "Rule with circuit_breaker",
    upstream: "Upstream that fails",
    rate: "Its error rate",
    said: (opened: number, state: string, requests: number) =>
      `Taken out ${count(opened, "time")}; at the end the breaker is ${state}. ${count(requests, "request")} sent.`,
  },

  import: {
    title: "Import",
    what: "Gateway API HTTPRoutes, Ingresses with ingress-nginx's canary annotations, Kong's canary plugin, APISIX's traffic-split:",
    foreign: "What is to be imported",
    translated: "As rules",
    remarks: "Not carried over, and other remarks",
    use: "Put into the editor",
    close: "Close",
    line: (line: number) => `line ${line}:`,
    said: (sound: boolean, remarks: number) =>
      `${sound ? "Imported" : "Nothing could be imported"}${remarks > 0 ? `, with ${count(remarks, "remark")}` : ", all of it"}.`,
  },

  examples: {
    groups: { seed: "Original samples", delivery: "Progressive delivery", gateways: "Whole files" },
    header: "by a header",
    query: "by a query parameter",
    weights: "by weight",
    canary: "a canary for testers",
    sticky: "clients that stick",
    ramp: "a ramp by the clock",
    breaker: "a canary with a circuit breaker",
    tiers: "two tiers, by a header",
    kong: "Kong, declarative",
    envoy: "an Envoy bootstrap",
  },
};
