// Saved requests: they are decided again at each change, and say what is different now.

import * as engine from "./engine";
import { at, h } from "./dom";
import { bar, percent, ruleName, upstreamName } from "./explanation";
import { labels } from "./labels";
import type { Answer, Case, Explained } from "./types";

/** What is expected of a request that is decided as it is now. */
export function expectation(answer: Answer): NonNullable<Case["expect"]> {
  const { rule, by_chance, upstream, probabilities } = answer;
  if (rule === null) return { rule: null };
  return {
    rule: { weight: rule.weight, ...(rule.name !== null && { name: rule.name }) },
    ...(!by_chance && { upstream }),
    probabilities,
  };
}

/** The file for `tse-route explain --cases`: YAML whose values are written as JSON. */
export function casesFile(cases: Case[]): string {
  if (cases.length === 0) return "cases: []\n";
  const text = cases.map((one) =>
    Object.entries(one).map(([name, value], i) => `${i === 0 ? "- " : "  "}${name}: ${JSON.stringify(value)}\n`).join(""),
  );
  return `cases:\n${text.join("")}`;
}

interface Wishes {
  open: (one: Case) => void;
  changed: () => void;
}

/** The table. */
export class Saved {
  cases: Case[] = [];
  #answers: (Explained | { error: string })[] = [];
  readonly #body = at("saved", HTMLTableSectionElement);
  readonly #count = at("saved-count", HTMLElement);
  readonly #wishes: Wishes;

  constructor(wishes: Wishes) {
    this.#wishes = wishes;
    at("export", HTMLButtonElement).addEventListener("click", () => this.#export());
  }

  add(one: Case, answer: Answer): void {
    const name = one.name ?? labels.saved.unnamed(this.cases.length + 1, one.request);
    this.cases = [...this.cases, { ...one, name, expect: expectation(answer) }];
    this.#wishes.changed();
  }

  /** Decides all requests again. */
  async run(subject: engine.Subject): Promise<void> {
    const cases = this.cases;
    const answers = cases.length === 0 ? [] : await engine.decisions(subject, cases);
    if (cases !== this.cases) return;
    this.#answers = answers;
    this.#show();
  }

  #show(): void {
    const rows = this.cases.map((one, index) => this.#row(one, this.#answers[index], index));
    this.#body.replaceChildren(...rows);
    const changed = this.#answers.filter((answer) => "error" in answer || answer.differences.length > 0).length;
    this.#count.textContent = this.cases.length === 0 ? labels.saved.none : labels.saved.count(this.cases.length, changed);
    at("export", HTMLButtonElement).disabled = this.cases.length === 0;
  }

  #row(one: Case, found: Explained | { error: string } | undefined, index: number): HTMLElement {
    const answer = found && "answer" in found ? found.answer : undefined;
    const differences = found === undefined ? [] : "error" in found ? [found.error] : found.differences;
    const isChanged = differences.length > 0;
    const name = one.name ?? one.request;
    const button = (label: string, act: () => void, disabled = false) =>
      h("button", { type: "button", click: act, disabled, "aria-label": `${label}: ${name}` }, label);
    const shares = Object.entries(answer?.probabilities ?? {});
    return h(
      "tr",
      { class: isChanged ? "changed" : "same", "data-rule": answer?.rule ? answer.rule.weight : "" },
      h("th", { scope: "row" }, name),
      h("td", {}, answer ? (answer.rule ? ruleName(answer.rule) : labels.saved.noRule) : ""),
      h(
        "td",
        { class: "where" },
        ...shares.map(([upstream, share]) => h("span", { class: "share" }, bar(share), `${upstreamName(upstream)} ${percent(share)}`)),
      ),
      h(
        "td",
        { class: "verdict" },
        isChanged ? h("strong", {}, labels.saved.changed) : labels.saved.same,
        ...differences.map((difference) => h("span", { class: "difference" }, difference)),
      ),
      h(
        "td",
        { class: "acts" },
        button(labels.saved.open, () => this.#wishes.open(one)),
        button(labels.saved.accept, () => answer && this.#accept(index, answer), !isChanged || !answer),
        button(labels.saved.remove, () => this.#remove(index)),
      ),
    );
  }

  #accept(index: number, answer: Answer): void {
    this.cases = this.cases.map((one, i) => (i === index ? { ...one, expect: expectation(answer) } : one));
    this.#wishes.changed();
  }

  #remove(index: number): void {
    this.cases = this.cases.filter((_, i) => i !== index);
    this.#wishes.changed();
    // The button is gone that had the focus.
    at("save", HTMLButtonElement).focus();
  }

  #export(): void {
    const blob = new Blob([casesFile(this.cases)], { type: "application/yaml" });
    const link = h("a", { href: URL.createObjectURL(blob), download: "cases.yaml" });
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
