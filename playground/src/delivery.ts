// Progressive delivery: a ramp over time, who moves when weights change, a canary that fails.

import { Chart, COLOURS } from "./chart";
import { at, h, settled } from "./dom";
import * as engine from "./engine";
import { percent, ruleName, upstreamName } from "./explanation";
import { labels } from "./labels";
import type { Configuration, Moves, RuleSummary } from "./types";

/** How many points a chart of shares has. */
const POINTS = 600;
/** How many clients are asked whether they move. */
const CLIENTS = 20_000;

/** A part of the page that is about one rule, of those that have what it takes. */
abstract class Panel {
  protected rule: RuleSummary | undefined;
  protected subject: engine.Subject | undefined;
  readonly #panel: HTMLElement;
  readonly #choice: HTMLSelectElement;

  constructor(name: string) {
    this.#panel = at(name, HTMLElement);
    this.#choice = at(`${name}-rule`, HTMLSelectElement);
    this.#choice.addEventListener("change", () => this.#chosen());
  }

  protected abstract suits(rule: RuleSummary): boolean;
  protected abstract draw(): void;
  /** Called when another rule is shown, or the same one with other fields. */
  protected abstract reset(rule: RuleSummary): void;

  /** Shows the rules of a configuration that there is something to show of. */
  update(subject: engine.Subject, configuration: Configuration | undefined): void {
    this.subject = subject;
    const rules = configuration?.rules.filter((rule) => rule.enabled && this.suits(rule)) ?? [];
    this.#panel.hidden = rules.length === 0;
    const wanted = this.#choice.value;
    this.#choice.replaceChildren(...rules.map((rule) => h("option", { value: rule.index }, ruleName(rule))));
    if (rules.some((rule) => String(rule.index) === wanted)) this.#choice.value = wanted;
    this.#rules = rules;
    this.#chosen();
  }

  #rules: RuleSummary[] = [];

  #chosen(): void {
    const rule = this.#rules.find((rule) => String(rule.index) === this.#choice.value);
    if (JSON.stringify(rule) !== JSON.stringify(this.rule) && rule) this.reset(rule);
    this.rule = rule;
    if (rule) this.draw();
  }
}

/** The time at which everything on the page happens. */
export class Clock {
  readonly #field = at("clock", HTMLInputElement);
  readonly #said = at("clock-said", HTMLElement);
  #now: number | undefined;

  constructor(changed: () => void) {
    this.#field.addEventListener("input", () => {
      const time = Date.parse(this.#field.value);
      const isBad = this.#field.value.trim() !== "" && Number.isNaN(time);
      this.#field.setAttribute("aria-invalid", String(isBad));
      this.#said.textContent = isBad ? labels.clock.bad : "";
      if (isBad) return;
      this.#now = Number.isNaN(time) ? undefined : Math.max(time, 0);
      changed();
    });
    at("clock-now", HTMLButtonElement).addEventListener("click", () => {
      this.text = "";
      changed();
    });
  }

  /** In milliseconds since 1970. */
  get now(): number {
    return this.#now ?? Date.now();
  }

  set now(now: number) {
    this.#now = now;
    this.#field.value = new Date(now).toISOString().replace(/\.\d+/, "");
  }

  /** RFC 3339; empty while it is the present. */
  get text(): string {
    return this.#now === undefined ? "" : this.#field.value;
  }

  set text(text: string) {
    const time = Date.parse(text);
    this.#field.value = Number.isNaN(time) ? "" : text;
    this.#now = Number.isNaN(time) ? undefined : time;
  }
}

/** The weights of a rule with `rollout` over time, with a handle that drags the clock. */
export class RolloutPanel extends Panel {
  readonly #chart = new Chart(at("rollout-chart", HTMLElement));
  readonly #slider = at("rollout-clock", HTMLInputElement);
  readonly #said = at("rollout-said", HTMLElement);
  readonly #clock: Clock;
  #range: [number, number] = [0, 1];
  #drawn = "";

  constructor(clock: Clock, changed: () => void) {
    super("rollout");
    this.#clock = clock;
    this.#slider.addEventListener("input", () => {
      this.#drag(Number(this.#slider.value));
    });
    this.#changed = changed;
  }

  readonly #changed: () => void;

  protected override suits(rule: RuleSummary): boolean {
    return rule.rollout !== null;
  }

  protected override reset({ rollout }: RuleSummary): void {
    const [start, end] = rollout ?? [0, 1];
    const margin = Math.max((end - start) * 0.1, 60_000);
    this.#range = [Math.max(start - margin, 0), end + margin];
    [this.#slider.min, this.#slider.max] = this.#range.map(String) as [string, string];
    this.#slider.step = String(Math.max(Math.round((this.#range[1] - this.#range[0]) / 1000), 1));
  }

  protected override draw(): void {
    void this.#draw();
  }

  async #draw(): Promise<void> {
    const { subject, rule } = this;
    if (!subject || !rule) return;
    const [from, to] = this.#range;
    const now = this.#clock.now;
    this.#slider.value = String(Math.min(Math.max(now, from), to));
    const here = await engine.shares(subject, rule.index, now, now, 2);
    const shares = here.upstreams.map((name, i) => `${upstreamName(name)} ${percent(here.shares[i]?.[0] ?? 0)}`);
    const time = new Date(now).toISOString().replace(/\.\d+/, "");
    const said = labels.rollout.at(time, shares.filter((text) => !text.endsWith(" 0 %") || !text.startsWith(labels.own)));
    this.#said.textContent = said;
    this.#slider.setAttribute("aria-valuetext", said);
    const key = JSON.stringify([subject.text, subject.configuration, rule.index]);
    if (key === this.#drawn) return this.#chart.redraw();
    this.#drawn = key;
    const drawn = await engine.shares(subject, rule.index, from, to, POINTS);
    const lines = drawn.upstreams.map((name, i) => ({ label: upstreamName(name), shares: drawn.shares[i] ?? [] }));
    this.#chart.show(
      drawn.times.map((time) => time / 1000),
      lines.filter(({ label, shares }) => label !== labels.own || shares.some((share) => share > 0)),
      {
        isTime: true,
        x: (at) => new Date(at * 1000).toISOString().slice(5, 16).replace("T", " "),
        handle: { at: () => this.#clock.now / 1000, drag: (to) => this.#drag(to * 1000) },
      },
    );
  }

  #drag(to: number): void {
    this.#clock.now = Math.round(to);
    this.#chart.redraw();
    this.#changed();
  }
}

/** Who moves when a weight of a rule with `hash_on` changes. */
export class MoversPanel extends Panel {
  readonly #weights = at("movers-weights", HTMLElement);
  readonly #said = at("movers-said", HTMLElement);
  readonly #grid = at("movers-grid", HTMLElement);
  readonly #ways = at("movers-ways", HTMLElement);
  #sliders: HTMLInputElement[] = [];

  constructor() {
    super("movers");
    at("movers-reset", HTMLButtonElement).addEventListener("click", () => {
      if (this.rule) this.reset(this.rule);
      this.draw();
    });
  }

  protected override suits(rule: RuleSummary): boolean {
    return rule.hash_on !== null && rule.upstreams.length > 1;
  }

  protected override reset({ upstreams, weight_total }: RuleSummary): void {
    const drawSoon = settled(30, () => this.draw());
    this.#sliders = upstreams.map(({ weight }, i) =>
      h("input", {
        type: "range", id: `mover-${i}`, min: 0, max: weight_total, step: Math.max(weight_total / 100, 1), value: weight,
        input: () => {
          this.#balance(i, weight_total);
          drawSoon();
        },
      }),
    );
    const fields = this.#sliders.map((slider, i) =>
      h("div", { class: "slider" }, h("label", { for: slider.id }, upstreamName(upstreams[i]?.name ?? null)), slider, h("output", { for: slider.id })),
    );
    this.#weights.replaceChildren(...fields);
    this.#write(weight_total);
  }

  /** What one upstream gets the others lose, in proportion. */
  #balance(dragged: number, total: number): void {
    const values = this.#sliders.map((slider) => Number(slider.value));
    const rest = total - (values[dragged] ?? 0);
    const others = values.reduce((sum, value, i) => (i === dragged ? sum : sum + value), 0);
    let left = rest;
    const indices = values.map((_, i) => i).filter((i) => i !== dragged);
    indices.forEach((i, n) => {
      const share = others > 0 ? ((values[i] ?? 0) * rest) / others : rest / indices.length;
      const value = n === indices.length - 1 ? left : Math.min(Math.round(share), left);
      left -= value;
      const slider = this.#sliders[i];
      if (slider) {
        // A step would round it.
        slider.step = "1";
        slider.value = String(value);
      }
    });
    this.#write(total);
  }

  #write(total: number): void {
    this.#sliders.forEach((slider) => {
      const text = percent(Number(slider.value) / total);
      slider.setAttribute("aria-valuetext", text);
      const output = slider.nextElementSibling;
      if (output) output.textContent = text;
    });
  }

  protected override draw(): void {
    void this.#draw();
  }

  async #draw(): Promise<void> {
    const { subject, rule } = this;
    if (!subject || !rule) return;
    const weights = this.#sliders.map((slider) => Number(slider.value));
    try {
      this.#show(await engine.moves(subject, rule.index, weights, CLIENTS));
    } catch (error) {
      this.#said.textContent = error instanceof Error ? error.message : String(error);
    }
  }

  #show({ upstreams, clients, moves, requests }: Moves): void {
    this.#said.textContent = labels.movers.said(percent(moves.share), percent(moves.necessary / requests), requests);
    const ways = moves.ways.map(({ from, to, share }) =>
      h("li", {}, labels.movers.way(upstreamName(from), upstreamName(to), percent(share))),
    );
    this.#ways.replaceChildren(...ways);
    const style = (name: string) => `background: var(${COLOURS[upstreams.indexOf(name) % COLOURS.length] ?? "--text"})`;
    const dots = clients.map(([before, after]) =>
      h("span", { class: before === after ? "client" : "client moved", style: style(after) }),
    );
    const legend = upstreams
      .filter((name) => clients.some((pair) => pair.includes(name)))
      .map((name) => h("span", {}, h("span", { class: "client", style: style(name) }), ` ${upstreamName(name)}`));
    this.#grid.replaceChildren(
      h("div", { class: "legend" }, ...legend, h("span", {}, h("span", { class: "client moved" }), ` ${labels.movers.moved}`)),
      h("div", { class: "clients", role: "img", "aria-label": labels.movers.grid(clients.length) }, ...dots),
    );
  }
}

/** What circuit breakers make of an upstream that fails. */
export class BreakerPanel extends Panel {
  readonly #chart = new Chart(at("breaker-chart", HTMLElement));
  readonly #upstream = at("breaker-upstream", HTMLSelectElement);
  readonly #rate = at("breaker-rate", HTMLInputElement);
  readonly #shown = at("breaker-rate-shown", HTMLOutputElement);
  readonly #said = at("breaker-said", HTMLElement);

  constructor() {
    super("breaker");
    const soon = settled(60, () => this.draw());
    this.#upstream.addEventListener("change", soon);
    this.#rate.addEventListener("input", soon);
  }

  protected override suits(rule: RuleSummary): boolean {
    return rule.breakers;
  }

  protected override reset({ upstreams }: RuleSummary): void {
    const names = upstreams.map(({ name }) => name ?? "(service)");
    this.#upstream.replaceChildren(...names.map((name) => h("option", { value: name }, upstreamName(name))));
    // A canary stands last.
    this.#upstream.value = names.at(-1) ?? "";
  }

  protected override draw(): void {
    const rate = Number(this.#rate.value) / 100;
    this.#shown.textContent = percent(rate);
    void this.#draw(rate);
  }

  async #draw(rate: number): Promise<void> {
    const { subject, rule } = this;
    if (!subject || !rule) return;
    try {
      const found = await engine.outage(subject, rule.index, this.#upstream.value, rate);
      const opened = found.states.filter((state, i) => state === "open" && found.states[i - 1] !== "open").length;
      this.#said.textContent = labels.breaker.said(opened, found.states.at(-1) ?? "", found.requests);
      const lines = found.upstreams.map((name, i) => ({ label: upstreamName(name), shares: found.shares[i] ?? [] }));
      this.#chart.show(
        found.seconds,
        lines.filter(({ shares }) => shares.some((share) => share > 0)),
        { isTime: false, x: (at) => `${Math.round(at)} s`, shaded: found.outage },
      );
    } catch (error) {
      this.#said.textContent = error instanceof Error ? error.message : String(error);
    }
  }
}
