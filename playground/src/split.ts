// The split: many requests, and how they were divided.

import * as engine from "./engine";
import { at, h } from "./dom";
import { bar, percent, ruleName, upstreamName } from "./explanation";
import { labels } from "./labels";
import type { Case, Report } from "./types";

/** Below this p-value a deviation is hardly chance, as `tse-route simulate` has it. */
const SUSPICIOUS = 0.001;

/** The simulation, with its progress. */
export class Split {
  readonly #start = at("simulate", HTMLButtonElement);
  readonly #cancel = at("cancel", HTMLButtonElement);
  readonly #progress = at("progress", HTMLProgressElement);
  readonly #result = at("split", HTMLElement);
  readonly #said = at("split-said", HTMLElement);
  #stop: (() => void) | undefined;
  /** What the result is of. */
  #of: engine.Subject | undefined;

  constructor(subject: () => engine.Subject, request: () => Case) {
    this.#start.addEventListener("click", () => void this.#run(subject(), request()));
    this.#cancel.addEventListener("click", () => this.#stop?.());
  }

  /** Says that what is shown is of another configuration, if it is. */
  outdate(now: engine.Subject): void {
    const of = this.#of;
    const isOther = of !== undefined && (of.text !== now.text || of.configuration !== now.configuration);
    if (isOther && this.#result.childElementCount > 0) this.#said.textContent = labels.split.outdated;
  }

  async #run(subject: engine.Subject, request: Case): Promise<void> {
    const requests = Math.min(Math.max(Math.floor(at("requests", HTMLInputElement).valueAsNumber) || 1, 1), 1e9);
    const given = at("traffic", HTMLSelectElement).value === "given" ? request : undefined;
    let isCancelled = false;
    const running = engine.simulate(subject, given, requests, (done) => {
      this.#progress.value = done;
    });
    this.#stop = () => {
      isCancelled = true;
      running.cancel();
    };
    this.#working(true);
    try {
      const report = await running.report;
      this.#said.textContent = isCancelled
        ? labels.split.cancelled(report.requests)
        : labels.split.done(report.requests);
      this.#result.replaceChildren(...this.#show(report));
      this.#of = subject;
    } catch (error) {
      this.#said.textContent = error instanceof Error ? error.message : String(error);
    } finally {
      this.#stop = undefined;
      this.#working(false);
    }
  }

  #working(works: boolean): void {
    const hadFocus = document.activeElement === this.#start || document.activeElement === this.#cancel;
    this.#start.disabled = works;
    this.#cancel.disabled = !works;
    this.#progress.hidden = !works;
    this.#progress.value = 0;
    if (works) this.#said.textContent = labels.split.working;
    if (hadFocus) (works ? this.#cancel : this.#start).focus();
  }

  #show(report: Report): HTMLElement[] {
    const tables = report.rules.map(({ rule, requests, p_value, upstreams }) => {
      const rows = upstreams.map(({ name, configured, observed, deviation, requests }) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, upstreamName(name)),
          h("td", { class: "number" }, percent(configured)),
          h("td", { class: "number" }, observed === null ? "–" : percent(observed)),
          h("td", { class: "number" }, deviation === null ? "–" : labels.split.points(deviation * 100)),
          h("td", { class: "number" }, requests.toLocaleString("en")),
          h("td", {}, bar(configured, "configured"), bar(observed ?? 0, "observed")),
        ),
      );
      const p = p_value === null ? "" : p_value < SUSPICIOUS ? labels.split.suspicious(p_value) : labels.split.p(p_value);
      return h(
        "table",
        { class: "split", "data-rule": rule.index },
        h("caption", {}, h("strong", {}, ruleName(rule)), ` ${labels.split.requests(requests)} ${p}`),
        h("thead", {}, h("tr", {}, ...labels.split.columns.map((title) => h("th", { scope: "col" }, title)))),
        h("tbody", {}, ...rows),
      );
    });
    const notes = [
      report.unmatched > 0 && labels.split.unmatched(report.unmatched),
      report.without.length > 0 && labels.split.without(report.without.join(", ")),
    ].filter((note) => note !== false);
    return [...tables, ...notes.map((note) => h("p", {}, note))];
  }
}
