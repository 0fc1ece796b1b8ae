// What other gateways know of traffic splitting, as rules.

import { at, h } from "./dom";
import * as engine from "./engine";
import { describe } from "./editor";
import { labels } from "./labels";

/** The dialog; `use` puts a configuration into the editor. */
export function importDialog(use: (yaml: string) => void): void {
  const dialog = at("import", HTMLDialogElement);
  const foreign = at("foreign", HTMLTextAreaElement);
  const translated = at("translated", HTMLElement);
  const remarks = at("remarks", HTMLElement);
  const said = at("import-said", HTMLElement);
  const take = at("import-use", HTMLButtonElement);
  let yaml = "";
  at("import-open", HTMLButtonElement).addEventListener("click", () => dialog.showModal());
  at("import-close", HTMLButtonElement).addEventListener("click", () => dialog.close());
  foreign.addEventListener("input", async () => {
    const text = foreign.value;
    const imported = text.trim() === "" ? { yaml: "", remarks: [] } : await engine.importText(text);
    if (text !== foreign.value) return;
    yaml = imported.yaml;
    translated.textContent = yaml;
    take.disabled = yaml === "";
    said.textContent = text.trim() === "" ? "" : labels.import.said(yaml !== "", imported.remarks.length);
    remarks.replaceChildren(
      ...imported.remarks.map((remark) =>
        h("li", { class: remark.severity }, h("strong", {}, labels.import.line(remark.line)), ` ${describe(remark)}`),
      ),
    );
  });
  take.addEventListener("click", () => {
    use(yaml);
    dialog.close();
  });
}
