// All that stands on the page, in the fragment of its address: browsers never send that.

import type { Request } from "./request";
import type { Case } from "./types";

/** All that stands on the page. */
export interface State {
  text: string;
  configuration: number;
  request: Request;
  /** RFC 3339; empty for the present. */
  clock: string;
  saved: Case[];
}

const NAME = "#p=";

async function through(bytes: Uint8Array<ArrayBuffer>, transform: CompressionStream | DecompressionStream) {
  const stream = new Blob([bytes]).stream().pipeThrough(transform);
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The fragment of a state. */
export async function toFragment(state: State): Promise<string> {
  const text = new TextEncoder().encode(JSON.stringify(state));
  const bytes = await through(text, new CompressionStream("deflate-raw"));
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  const base64 = btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return NAME + base64;
}

/** The state of a fragment; none where it has none.
 *  @throws where it is damaged. */
export async function fromFragment(fragment: string): Promise<State | undefined> {
  if (!fragment.startsWith(NAME)) return undefined;
  const base64 = fragment.slice(NAME.length).replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const text = await through(bytes, new DecompressionStream("deflate-raw"));
  const state: unknown = JSON.parse(new TextDecoder().decode(text));
  if (!isState(state)) throw new Error("not a state of this page");
  return state;
}

/** A link comes from anyone: what is not what it should be is refused. */
function isState(value: unknown): value is State {
  if (typeof value !== "object" || value === null) return false;
  const { text, configuration, request, clock, saved } = value as Record<string, unknown>;
  const strings = (list: unknown): boolean => Array.isArray(list) && list.every((s) => typeof s === "string");
  if (typeof request !== "object" || request === null) return false;
  const { method, url, headers, cookies, body, clientIp } = request as Record<string, unknown>;
  return (
    strings([text, clock, method, url, cookies, body, clientIp]) &&
    strings(headers) &&
    Number.isInteger(configuration) &&
    Array.isArray(saved) &&
    saved.every((one: unknown) => typeof one === "object" && one !== null && typeof (one as Case).request === "string")
  );
}
