// Which part of the configuration's schema a place in a text is about.
//
// What is being typed is broken most of the time, so that this goes by indentation and by brackets
// and needs no sound document.

export interface Schema {
  description?: string;
  type?: string | string[];
  enum?: (string | null)[];
  properties?: Record<string, Schema>;
  items?: Schema;
  required?: string[];
}

/** A place in a configuration. */
export interface Place {
  /** The fields that lead to the object; `[]` is an element of a list. */
  path: string[];
  /** What stands at the place: a field's name or a field's value. */
  kind: "key" | "value";
  /** The field whose value it is. */
  key: string;
  /** Where what is being typed begins. */
  from: number;
  /** Whether names are in double quotes there. */
  json: boolean;
  /** How what is being typed begins, where it is in quotes: the quote. */
  quote: string;
}

/** What `system` conditions look at; the schema has them as a pattern, for they have no case. */
const SYSTEM_KEYS = ["domain", "clientIP", "httpScheme", "clientUa"];

const ELEMENT = "[]";
/** The objects that are not a configuration but have one, by a field at their top level. */
const WRAPPED = /^"?(apiVersion|kind|_format_version|services|routes|upstreams|plugins|filter_chains|static_resources|dynamic_resources)"?:/m;

/** The place of an offset; none where nothing is known of it. */
export function placeAt(text: string, offset: number): Place | undefined {
  const place = /^\s*[{[]/.test(text) ? flow(text, 0, offset) : block(text, offset);
  if (place === undefined) return undefined;
  const config = place.path.lastIndexOf("config");
  if (config >= 0) return { ...place, path: place.path.slice(config + 1) };
  const value = place.path.lastIndexOf("value");
  if (place.path[value - 1] === "configuration") return { ...place, path: place.path.slice(value + 1) };
  const isJson = /^\s*\{/.test(text);
  const isWrapped = isJson ? /^\s*\{\s*"(apiVersion|kind|_format_version|services|static_resources)"/.test(text) : WRAPPED.test(text);
  return isWrapped ? undefined : place;
}

/** A line of block YAML: its dashes, its field and where they stand. */
function parts(line: string) {
  const [, head = "", , name, colon, rest = ""] =
    /^(\s*((?:-\s+)*))(?:"?([\w.-]+)"?(\s*:(?=\s|$)))?(.*)$/.exec(line) ?? [];
  const dash = head.lastIndexOf("-");
  const isEmpty = name === undefined && rest.trim() === "" && dash < 0;
  return { column: head.length, dash, name: colon === undefined ? undefined : name, rest: rest.trim(), isEmpty };
}

function block(text: string, offset: number): Place | undefined {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const typed = text.slice(start, offset);
  const lines = text.slice(0, start).split("\n").slice(0, -1);
  const key = /^(\s*(?:-\s+)*)"?([\w.-]*)$/.exec(typed);
  const value = /^(\s*(?:-\s+)*)"?([\w.-]+)"?\s*:\s+(.*)$/s.exec(typed);
  const head = /^\s*(?:-\s+)*/.exec(typed)?.[0] ?? "";
  const parents = climb(lines, head, text, offset);
  if (parents === undefined || "kind" in parents) return parents;
  if (value !== null) {
    const [, , name = "", content = ""] = value;
    const path = [...parents];
    if (/^[{[]/.test(content)) {
      const inner = flow(text, offset - content.length, offset);
      return inner && { ...inner, json: false, path: [...path, name, ...inner.path] };
    }
    const quote = /^["']/.exec(content)?.[0] ?? "";
    return { path, kind: "value", key: name, from: offset - content.length + quote.length, json: false, quote };
  }
  if (key === null) {
    const bracket = /^\s*(?:-\s+)+(?=[{[])/.exec(typed);
    if (bracket === null) return undefined;
    const above = climb(lines, bracket[0], text, offset);
    if (above === undefined || "kind" in above) return above;
    const inner = flow(text, start + bracket[0].length, offset);
    return inner && { ...inner, json: false, path: [...above, ...inner.path] };
  }
  return { path: parents, kind: "key", key: "", from: offset - (key[2] ?? "").length, json: false, quote: "" };
}

/** The fields that a line with this beginning is under; or the place itself, inside of JSON in a block. */
function climb(lines: string[], head: string, text: string, offset: number): string[] | Place | undefined {
  const path: string[] = [];
  let column = head.length;
  // The column of the dashes whose owner is wanted; none while it is a field's.
  let dash = head.lastIndexOf("-");
  if (dash >= 0) path.unshift(ELEMENT);
  let at = lines.reduce((sum, line) => sum + line.length + 1, 0);
  for (const line of lines.toReversed()) {
    at -= line.length + 1;
    const found = parts(line);
    if (found.isEmpty || /^\s*#/.test(line)) continue;
    if (/^---/.test(line)) break;
    const isOwner = dash >= 0
      ? found.name !== undefined && found.column <= dash && found.dash !== dash
      : found.name !== undefined && found.column < column;
    if (isOwner && found.name !== undefined) {
      if (/^[|>]/.test(found.rest)) {
        const inner = flow(text, at + line.length, offset);
        return inner && { ...inner, path: [...above(lines, line, text), found.name, ...inner.path] };
      }
      path.unshift(found.name);
      column = found.column;
      dash = -1;
    }
    const opensElement = dash < 0 && found.dash >= 0 && found.column === column;
    if (opensElement) {
      path.unshift(ELEMENT);
      dash = found.dash;
    }
  }
  return path;
}

/** The fields above a line. */
function above(lines: string[], line: string, text: string): string[] {
  const found = climb(lines.slice(0, lines.lastIndexOf(line)), /^\s*(?:-\s+)*/.exec(line)?.[0] ?? "", text, 0);
  return Array.isArray(found) ? found : [];
}

/** The place in JSON, or in YAML in brackets, that begins at `start`. */
function flow(text: string, start: number, offset: number): Place | undefined {
  interface Level { list: boolean; key: string; isValue: boolean }
  const levels: Level[] = [];
  let word = "";
  let from = offset;
  let quote = "";
  const finish = () => {
    const level = levels.at(-1);
    if (level && !level.list && !level.isValue && word !== "") level.key = word;
    [word, quote] = ["", ""];
  };
  for (let i = start; i < offset; i++) {
    const c = text.charAt(i);
    if (quote !== "" && c !== quote) {
      word += c === "\\" ? text.charAt(++i) : c;
      continue;
    }
    const level = levels.at(-1);
    if (c === '"' || c === "'") {
      if (quote === "") [quote, word, from] = [c, "", i + 1];
      else if (level && !level.isValue && !level.list) {
        level.key = word;
        quote = "";
        word = "";
      } else [quote, word] = ["", ""];
    } else if (c === "{" || c === "[") {
      levels.push({ list: c === "[", key: "", isValue: false });
      [word, from] = ["", offset];
    } else if (c === "}" || c === "]") {
      levels.pop();
      [word, from] = ["", offset];
    } else if (c === ":") {
      finish();
      if (level) level.isValue = true;
      from = offset;
    } else if (c === ",") {
      if (level) [level.isValue, level.key] = [false, ""];
      [word, from] = ["", offset];
    } else if (/\s/.test(c)) {
      if (word === "") from = offset;
    } else {
      if (word === "") from = i;
      word += c;
    }
  }
  const last = levels.at(-1);
  if (last === undefined) return undefined;
  const path = levels.slice(0, -1).flatMap((level) => (level.list ? [ELEMENT] : [level.key]));
  if (last.list) return { path, kind: "value", key: "", from, json: true, quote };
  return { path, kind: last.isValue ? "value" : "key", key: last.isValue ? last.key : "", from, json: true, quote };
}

/** The schema of the object at a path. */
function objectAt(schema: Schema, path: string[]): Schema | undefined {
  let found: Schema | undefined = schema;
  for (const step of path) found = step === ELEMENT ? found?.items : found?.properties?.[step];
  return found;
}

/** What can be typed at a place. */
export function choices(schema: Schema, place: Place): { word: string; help: string; detail: string }[] {
  const object = objectAt(schema, place.path);
  if (place.kind === "key") {
    return Object.entries(object?.properties ?? {}).map(([word, field]) => ({
      word,
      help: field.description ?? "",
      detail: typeWord(field) + (object?.required?.includes(word) ? ", required" : ""),
    }));
  }
  const field = object?.properties?.[place.key];
  const isSystemKey = place.key === "key" && place.path.includes("system");
  const isBoolean = [field?.type].flat().includes("boolean") && field?.enum === undefined;
  const words = isSystemKey
    ? SYSTEM_KEYS
    : (field?.enum ?? (isBoolean && field?.type === "boolean" ? ["true", "false"] : []));
  return words
    .filter((word): word is string => typeof word === "string" && word.trim() !== "")
    .map((word) => ({ word, help: field?.description ?? "", detail: "" }));
}

/** What the schema says of the field at a place. */
export function helpAt(schema: Schema, place: Place, field: string): { type: string; help: string } | undefined {
  const found = objectAt(schema, place.path)?.properties?.[field];
  return found?.description === undefined ? undefined : { type: typeWord(found), help: found.description };
}

function typeWord(schema: Schema): string {
  const types = [schema.type ?? []].flat().filter((type) => type !== "null");
  return types.join(" | ");
}
