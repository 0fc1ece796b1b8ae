// The page: what stands in its fields goes to the engine, and the answers go to their places.

import "./style.css";
import { at, h, settled } from "./dom";
import { BreakerPanel, Clock, MoversPanel, RolloutPanel } from "./delivery";
import { Editor, describe } from "./editor";
import * as engine from "./engine";
import { examples } from "./examples";
import { explained } from "./explanation";
import { importDialog } from "./import";
import { labels } from "./labels";
import { type State, fromFragment, toFragment } from "./link";
import { EMPTY, RequestForm, ofCase, toCase } from "./request";
import { Saved } from "./saved";
import { Split } from "./split";
import type { Checked, Fault } from "./types";

/** How long typing must rest before the engine is asked, in milliseconds. */
const REST = 120;

label();
theme();

let checked: Checked = { faults: [], configurations: [] };
/** The fragment that this page has written itself. */
let written = "";

const which = at("which", HTMLSelectElement);
const said = at("said", HTMLElement);
const editor = new Editor(at("editor", HTMLElement), settled(REST, () => void checkText()));
const form = new RequestForm(settled(REST, () => void decide()));
const clock = new Clock(settled(REST, () => void decide()));
const split = new Split(subject, () => toCase(form.value));
const rollout = new RolloutPanel(clock, settled(REST, () => void decide()));
const movers = new MoversPanel();
const breaker = new BreakerPanel();
const saved = new Saved({
  open: (one) => {
    form.value = ofCase(one);
    if (one.at !== undefined) clock.text = one.at;
    void decide();
    at("url", HTMLInputElement).focus();
  },
  changed: () => void decide(),
});

function subject(): engine.Subject {
  return { text: editor.text, configuration: Math.max(which.selectedIndex, 0), now: clock.now };
}

/** Checks the text, then decides. */
async function checkText(): Promise<void> {
  const text = editor.text;
  try {
    const found = await engine.check(text);
    if (text !== editor.text) return;
    checked = found;
  } catch (error) {
    said.textContent = `${labels.page.engineFailed} ${error instanceof Error ? error.message : ""}`;
    return;
  }
  editor.show(checked.faults);
  showFaults(checked.faults);
  const wanted = which.selectedIndex;
  which.replaceChildren(
    ...checked.configurations.map(({ label }, i) => h("option", {}, label ?? labels.editor.unnamed(i))),
  );
  which.selectedIndex = Math.min(Math.max(wanted, 0), checked.configurations.length - 1);
  at("which-field", HTMLElement).hidden = checked.configurations.length < 2;
  split.outdate(subject());
  await decide();
}

function showFaults(faults: Fault[]): void {
  const errors = faults.filter((fault) => fault.severity === "error").length;
  at("verdict", HTMLElement).textContent =
    faults.length === 0 ? labels.editor.sound : labels.editor.faults(errors, faults.length - errors);
  const items = faults.map((fault) => {
    const place = labels.editor.place(fault.line, fault.column);
    const go = h("button", { type: "button", click: () => editor.reveal(fault.from) }, place);
    return h("li", { class: fault.severity }, go, ` ${describe(fault)}`);
  });
  at("faults", HTMLElement).replaceChildren(...items);
}

/** Decides the request and all saved ones, and draws what depends on the clock. */
async function decide(): Promise<void> {
  const now = subject();
  const configuration = checked.configurations[now.configuration];
  const usable = configuration?.usable === true;
  const place = at("explanation", HTMLElement);
  if (usable) {
    try {
      const { answer } = await engine.explain(now, toCase(form.value));
      place.replaceChildren(...explained(answer));
    } catch (error) {
      place.replaceChildren(h("p", { class: "error" }, error instanceof Error ? error.message : String(error)));
    }
  } else {
    place.replaceChildren(h("p", {}, labels.outcome.unusable));
  }
  for (const id of ["save", "simulate"]) at(id, HTMLButtonElement).disabled = !usable;
  const shown = usable ? configuration : undefined;
  for (const panel of [rollout, movers, breaker]) panel.update(now, shown);
  await saved.run(now);
  document.body.dataset["settled"] = String(Number(document.body.dataset["settled"] ?? 0) + 1);
  remember();
}

/** Keeps the address up to date, so that the page can be loaded again. */
const remember = settled(400, () => void writeFragment());

async function writeFragment(): Promise<void> {
  written = await toFragment(state());
  history.replaceState(null, "", written);
}

function state(): State {
  return {
    text: editor.text,
    configuration: Math.max(which.selectedIndex, 0),
    request: form.value,
    clock: clock.text,
    saved: saved.cases,
  };
}

async function show(state: State): Promise<void> {
  form.value = state.request;
  clock.text = state.clock;
  saved.cases = state.saved;
  editor.text = state.text;
  await checkText();
  if (state.configuration > 0 && state.configuration < which.length) {
    which.selectedIndex = state.configuration;
    await decide();
  }
}

async function open(): Promise<boolean> {
  if (location.hash === written && written !== "") return true;
  try {
    const found = await fromFragment(location.hash);
    if (found !== undefined) await show(found);
    return found !== undefined;
  } catch {
    said.textContent = labels.page.linkBroken;
    return false;
  }
}

/** Writes the labels into the page. */
function label(): void {
  const find = (path: string) =>
    path.split(".").reduce<unknown>((found, step) => (found as Record<string, unknown>)[step], labels);
  for (const element of document.querySelectorAll<HTMLElement>("[data-label]")) {
    element.textContent = String(find(element.dataset["label"] ?? ""));
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-aria-label]")) {
    element.setAttribute("aria-label", String(find(element.dataset["ariaLabel"] ?? "")));
  }
  const columns = labels.saved.columns.map((column) => h("th", { scope: "col" }, column));
  at("saved-columns", HTMLTableRowElement).replaceChildren(...columns);
  const choice = at("example", HTMLSelectElement);
  choice.append(
    h("option", { value: "" }, labels.page.choose),
    ...examples.map(([group, list]) =>
      h("optgroup", { label: group }, ...list.map(({ name, label }) => h("option", { value: name }, label))),
    ),
  );
}

/** Light or dark: as the system has it, until someone wants it otherwise. */
function theme(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const apply = () => {
    const wanted = sessionStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");
    root.dataset["theme"] = wanted;
    at("theme", HTMLButtonElement).setAttribute("aria-pressed", String(wanted === "dark"));
    dispatchEvent(new Event("themechange"));
  };
  dark.addEventListener("change", apply);
  at("theme", HTMLButtonElement).addEventListener("click", () => {
    sessionStorage.setItem("theme", root.dataset["theme"] === "dark" ? "light" : "dark");
    apply();
  });
  apply();
}

which.addEventListener("change", () => void decide());
addEventListener("hashchange", () => void open());
importDialog((yaml) => {
  editor.text = yaml;
});

at("example", HTMLSelectElement).addEventListener("change", ({ target }) => {
  const name = (target as HTMLSelectElement).value;
  const example = examples.flatMap(([, list]) => list).find((example) => example.name === name);
  if (example === undefined) return;
  const request = { ...EMPTY, ...example.request };
  void show({ text: example.text, configuration: 0, request, clock: example.clock ?? "", saved: saved.cases });
});

at("save", HTMLButtonElement).addEventListener("click", async () => {
  const configuration = checked.configurations[subject().configuration];
  const dependsOnTime = configuration?.rules.some((rule) => rule.rollout !== null);
  const time = new Date(clock.now).toISOString().replace(/\.\d+/, "");
  const several = checked.configurations.length > 1 && typeof configuration?.label === "string";
  const one = {
    ...toCase(form.value),
    ...(dependsOnTime && { at: time }),
    ...(several && { plugin: configuration.label ?? "" }),
  };
  try {
    // What is shown may still be about the keystroke before.
    saved.add(one, (await engine.explain(subject(), one)).answer);
  } catch (error) {
    said.textContent = error instanceof Error ? error.message : String(error);
  }
});

at("link", HTMLButtonElement).addEventListener("click", async () => {
  await writeFragment();
  try {
    await navigator.clipboard.writeText(location.href);
    said.textContent = labels.page.linkCopied;
  } catch {
    said.textContent = labels.page.linkShown;
  }
});

const first = examples[1]?.[1][0];
void engine.schema().then((schema) => {
  editor.schema = schema;
});
void open().then(async (opened) => {
  if (!opened && first) {
    await show({ text: first.text, configuration: 0, request: { ...EMPTY, ...first.request }, clock: "", saved: [] });
  }
  document.body.dataset["ready"] = "";
});
