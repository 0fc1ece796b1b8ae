// The request that is tried: a form, and what it is as a case.

import { parseCurl } from "./curl";
import { at } from "./dom";
import { labels } from "./labels";
import type { Case } from "./types";

/** What stands in the form. */
export interface Request {
  method: string;
  url: string;
  headers: string[];
  cookies: string;
  body: string;
  clientIp: string;
}

export const EMPTY: Request = { method: "GET", url: "/", headers: [], cookies: "", body: "", clientIp: "" };

/** A request as a case. */
export function toCase(request: Request): Case {
  const { method, url, headers, cookies, body, clientIp } = request;
  return {
    request: `${method || "GET"} ${url || "/"}`,
    ...(headers.length > 0 && { headers }),
    ...(cookies !== "" && { cookies: [cookies] }),
    ...(body !== "" && { body }),
    ...(clientIp !== "" && { client_ip: clientIp }),
  };
}

/** A case as a request; what the form has no place for is lost, which the page never writes. */
export function ofCase(one: Case): Request {
  const [, method = "GET", url = "/"] = /^(?:(\S+)\s+)?(\S+)$/.exec(one.request.trim()) ?? [];
  return {
    method,
    url,
    headers: one.headers ?? [],
    cookies: (one.cookies ?? []).join("; "),
    body: one.body ?? "",
    clientIp: one.client_ip ?? "",
  };
}

/** The form. */
export class RequestForm {
  readonly #method = at("method", HTMLInputElement);
  readonly #url = at("url", HTMLInputElement);
  readonly #headers = at("headers", HTMLTextAreaElement);
  readonly #cookies = at("cookies", HTMLInputElement);
  readonly #body = at("body", HTMLTextAreaElement);
  readonly #clientIp = at("client-ip", HTMLInputElement);

  constructor(changed: () => void) {
    at("request-form", HTMLFormElement).addEventListener("submit", (event) => event.preventDefault());
    for (const field of [this.#method, this.#url, this.#headers, this.#cookies, this.#body, this.#clientIp]) {
      field.addEventListener("input", changed);
    }
    const curl = at("curl", HTMLTextAreaElement);
    const said = at("curl-said", HTMLElement);
    curl.addEventListener("input", () => {
      if (curl.value.trim() === "") {
        said.textContent = "";
        return;
      }
      try {
        this.value = parseCurl(curl.value);
        said.textContent = labels.curl.done;
        changed();
      } catch (error) {
        said.textContent = error instanceof Error ? error.message : String(error);
      }
    });
  }

  get value(): Request {
    const lines = this.#headers.value.split("\n").map((line) => line.trim());
    return {
      method: this.#method.value.trim(),
      url: this.#url.value.trim(),
      headers: lines.filter((line) => line !== ""),
      cookies: this.#cookies.value.trim(),
      body: this.#body.value,
      clientIp: this.#clientIp.value.trim(),
    };
  }

  set value(request: Request) {
    this.#method.value = request.method;
    this.#url.value = request.url;
    this.#headers.value = request.headers.join("\n");
    this.#cookies.value = request.cookies;
    this.#body.value = request.body;
    this.#clientIp.value = request.clientIp;
  }
}
