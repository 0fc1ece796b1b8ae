// The editor: faults at their place, help on hover, completion from the schema.

import {
  acceptCompletion, autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, startCompletion,
  type Completion, type CompletionContext, type CompletionResult,
} from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { json } from "@codemirror/lang-json";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, indentOnInput, syntaxHighlighting } from "@codemirror/language";
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState } from "@codemirror/state";
import {
  EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap, lineNumbers,
} from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { h } from "./dom";
import { labels } from "./labels";
import { type Schema, choices, helpAt, placeAt } from "./schema";
import type { Fault } from "./types";

/** An editor of configurations. */
export class Editor {
  readonly view: EditorView;
  readonly #language = new Compartment();
  #isJson = false;
  #schema: Schema | undefined;

  constructor(parent: HTMLElement, changed: () => void) {
    this.view = new EditorView({
      parent,
      state: EditorState.create({
        extensions: [
          lineNumbers(),
          lintGutter(),
          history(),
          drawSelection(),
          indentOnInput(),
          bracketMatching(),
          closeBrackets(),
          highlightActiveLine(),
          highlightActiveLineGutter(),
          syntaxHighlighting(classHighlighter),
          autocompletion({ override: [(context) => this.#complete(context)] }),
          hoverTooltip((view, offset) => {
            const word = view.state.wordAt(offset);
            const line = view.state.doc.lineAt(offset);
            if (word === null || !/^["']?\s*:/.test(line.text.slice(word.to - line.from))) return null;
            const help = this.#help(word.from, view.state.sliceDoc(word.from, word.to));
            return help && { pos: word.from, end: word.to, above: true, create: () => ({ dom: help }) };
          }),
          // Tab moves on, as everywhere else: nobody is caught in the editor.
          keymap.of([
            { key: "Tab", run: acceptCompletion },
            ...closeBracketsKeymap, ...defaultKeymap, ...historyKeymap, ...completionKeymap, ...lintKeymap,
          ]),
          EditorView.lineWrapping,
          EditorView.contentAttributes.of({ "aria-label": labels.editor.label, "aria-describedby": "editor-help" }),
          EditorView.updateListener.of((update) => {
            if (!update.docChanged) return;
            this.#chooseLanguage();
            changed();
          }),
          this.#language.of(yaml()),
        ],
      }),
    });
  }

  get text(): string {
    return this.view.state.doc.toString();
  }

  set text(text: string) {
    this.view.dispatch({ changes: { from: 0, to: this.view.state.doc.length, insert: text.replace(/^\ufeff/, "") } });
  }

  set schema(schema: Schema) {
    this.#schema = schema;
  }

  /** Underlines faults. */
  show(faults: Fault[]): void {
    const end = this.view.state.doc.length;
    const diagnostics = faults.map((fault): Diagnostic => {
      const from = Math.min(fault.from, end);
      // What has no length is seen at one character.
      const to = Math.min(Math.max(fault.to, from + 1), end);
      return { from: Math.min(from, to), to, severity: fault.severity, message: describe(fault) };
    });
    this.view.dispatch(setDiagnostics(this.view.state, diagnostics));
  }

  /** Goes to a place. */
  reveal(offset: number): void {
    const anchor = Math.min(offset, this.view.state.doc.length);
    this.view.dispatch({ selection: { anchor }, scrollIntoView: true });
    this.view.focus();
  }

  #chooseLanguage(): void {
    const isJson = /^\s*[{[]/.test(this.view.state.sliceDoc(0, 200));
    if (isJson === this.#isJson) return;
    this.#isJson = isJson;
    this.view.dispatch({ effects: this.#language.reconfigure(isJson ? json() : yaml()) });
  }

  #complete({ state, pos, explicit }: CompletionContext): CompletionResult | null {
    const place = placeAt(state.doc.toString(), pos);
    if (place === undefined || this.#schema === undefined) return null;
    if (!explicit && place.from === pos && place.kind === "key") return null;
    const options = choices(this.#schema, place).map(({ word, help, detail }): Completion => {
      const isKey = place.kind === "key";
      const needsQuotes = place.quote === "" && (place.json || (!isKey && !/^[\w][\w ]*$/.test(word)));
      const quoted = needsQuotes && !(place.json && /^(true|false)$/.test(word)) ? `"${word}"` : word;
      const isOpen = isKey && place.quote === "";
      return {
        label: word,
        detail,
        info: help,
        type: isKey ? "property" : "enum",
        apply: isOpen
          ? (view, _, from, to) => {
              const insert = `${quoted}: `;
              view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length } });
              startCompletion(view);
            }
          : quoted,
      };
    });
    return options.length === 0 ? null : { from: place.from, options, validFor: /^[\w ]*$/ };
  }

  #help(offset: number, field: string): HTMLElement | null {
    const place = placeAt(this.text, offset);
    const help = place && this.#schema && helpAt(this.#schema, place, field);
    if (!help) return null;
    return h("div", { class: "help" }, h("code", {}, field), ` ${help.type}`, h("p", {}, help.help));
  }
}

/** A fault in words, with the path of its place. */
export function describe(fault: Fault): string {
  return fault.path ? `${fault.path}: ${fault.message}` : fault.message;
}
