// What becomes of a request: rule by rule, item by item.

import { h } from "./dom";
import { labels } from "./labels";
import type { Answer, Item, Label, Step } from "./types";

/** A share of one as a percentage. */
export function percent(share: number): string {
  return `${Number((share * 100).toFixed(2))} %`;
}

/** How a rule is called. */
export function ruleName({ index, name, weight }: Label): string {
  return labels.rule.name(name ?? `rules[${index}]`, weight);
}

/** The name of an upstream for people. */
export function upstreamName(name: string | null): string {
  return name === null || name === "(service)" ? labels.own : name;
}

/** A bar with a share in it. */
export function bar(share: number, kind = ""): HTMLElement {
  return h("span", { class: `bar ${kind}`, style: `--share: ${share}`, "aria-hidden": "true" });
}

/** An answer as elements. */
export function explained(answer: Answer): HTMLElement[] {
  return [outcome(answer), headers(answer), h("h3", {}, labels.trace.title), h("ol", { class: "trace" }, ...answer.trace.map(step))];
}

function outcome(answer: Answer): HTMLElement {
  if (answer.rule === null) {
    return h("p", { class: "outcome none", "data-test": "outcome" }, labels.outcome.none);
  }
  const shares = Object.entries(answer.probabilities);
  const how = answer.hash
    ? labels.outcome.byHash(answer.hash.on, answer.hash.key)
    : answer.by_chance ? labels.outcome.byChance : "";
  const title = h(
    "p",
    {},
    h("strong", {}, ruleName(answer.rule)),
    ` ${labels.outcome.decides} `,
    answer.by_chance ? "" : h("strong", { class: "upstream" }, upstreamName(answer.upstream)),
    how,
  );
  const rows = shares.map(([name, share]) =>
    h("tr", {}, h("th", { scope: "row" }, upstreamName(name)), h("td", { class: "number" }, percent(share)), h("td", {}, bar(share))),
  );
  const table = h(
    "table",
    { class: "shares" },
    h("caption", { class: "quiet" }, labels.outcome.probabilities),
    h("tbody", {}, ...rows),
  );
  return h("div", { class: "outcome", "data-test": "outcome" }, title, shares.length > 0 && table);
}

function headers(answer: Answer): HTMLElement {
  const { set, add, remove, baggage } = answer.request_headers;
  const lines = [
    ...answer.response_headers.map(([name, value]) => h("code", {}, `${name}: ${value}`)),
  ];
  const changes = [
    ...remove.map((name) => h("code", {}, `− ${name}`)),
    ...set.map(([name, value]) => h("code", {}, `= ${name}: ${value}`)),
    ...add.map(([name, value]) => h("code", {}, `+ ${name}: ${value}`)),
    ...(baggage?.remove ?? []).map((key) => h("code", {}, `− baggage: ${key}`)),
    ...(baggage?.set ?? []).map((member) => h("code", {}, `= baggage: ${member}`)),
  ];
  return h(
    "div",
    { class: "headers" },
    h("h3", {}, labels.outcome.responseHeaders),
    h("div", { class: "lines", "data-test": "response-headers" }, ...(lines.length > 0 ? lines : [labels.outcome.noHeaders])),
    answer.by_chance && h("p", { class: "quiet" }, labels.outcome.oneDraw),
    changes.length > 0 && h("h3", {}, labels.outcome.requestHeaders),
    changes.length > 0 && h("div", { class: "lines" }, ...changes),
  );
}

function step({ rule, result, match_type, items }: Step): HTMLElement {
  const note =
    result === "disabled" ? null
      : items.length === 0 ? labels.trace.always
        : items.length > 1 && match_type === "OR" ? labels.trace.any : null;
  return h(
    "li",
    { class: `step ${result.replace(" ", "-")}`, "data-rule": rule.index },
    h("p", {}, h("strong", {}, ruleName(rule)), " ", h("span", { class: "fate" }, labels.trace.fates[result])),
    note !== null && h("p", { class: "quiet" }, note),
    items.length > 0 && h("ul", { class: "items" }, ...items.map(line)),
  );
}

function line({ location, key, operator, value, found, holds, path }: Item): HTMLElement {
  const word = holds === true ? labels.trace.yes : holds === false ? labels.trace.no : labels.trace.open;
  return h(
    "li",
    { class: holds === true ? "holds" : "fails", title: path },
    h("span", { class: "mark" }, word),
    h(
      "span",
      {},
      h("code", {}, [location, key, operator, value === null ? null : JSON.stringify(value)].filter((part) => part !== null).join(" ")),
      ` ${labels.trace.found} `,
      found === null ? h("em", {}, labels.trace.absent) : h("code", {}, JSON.stringify(found)),
    ),
  );
}
