// Requests as people have them at hand: a `curl` command.

import { labels } from "./labels";
import type { Request } from "./request";

/** The words of a shell's command line. */
export function words(line: string): string[] {
  const found: string[] = [];
  let word: string | undefined;
  let quote: string | undefined;
  for (let i = 0; i < line.length; i++) {
    const c = line.charAt(i);
    if (quote === "'") {
      if (c === quote) quote = undefined;
      else word += c;
    } else if (c === "\\") {
      const next = line.charAt(++i);
      if (next === "\n") continue;
      // Between double quotes a backslash guards little.
      word = (word ?? "") + (quote === undefined || '"\\$`'.includes(next) ? next : c + next);
    } else if (quote === '"') {
      if (c === quote) quote = undefined;
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (/\s/.test(c)) {
      if (word !== undefined) found.push(word);
      word = undefined;
    } else {
      word = (word ?? "") + c;
    }
  }
  if (word !== undefined) found.push(word);
  return found;
}

/** Options that change nothing of what is sent to the gateway, by whether a value follows. */
const PLAIN = new Set([
  "-s", "--silent", "-S", "--show-error", "-v", "--verbose", "-i", "--include", "-k", "--insecure", "-L",
  "--location", "-f", "--fail", "--compressed", "-N", "--no-buffer", "--http1.1", "--http2", "-g", "--globoff",
]);
const WITH_VALUE = new Set([
  "-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "--cacert", "--retry", "--resolve",
]);

/** The request of a `curl` command.
 *  @throws Error with what is not understood. */
export function parseCurl(command: string): Request {
  const [program, ...rest] = words(command.trim());
  if (program !== "curl") throw new Error(labels.curl.noCurl);
  const request: Request = { method: "", url: "", headers: [], cookies: "", body: "", clientIp: "" };
  const data: string[] = [];
  let inQuery = false;
  const has = (name: string) =>
    request.headers.some((line) => line.toLowerCase().startsWith(`${name}:`));
  for (let i = 0; i < rest.length; i++) {
    let option = rest[i] ?? "";
    let value: string | undefined;
    if (option.startsWith("--") && option.includes("=")) {
      [option, value] = [option.slice(0, option.indexOf("=")), option.slice(option.indexOf("=") + 1)];
    } else if (/^-[XHdbAeumow]./.test(option)) {
      [option, value] = [option.slice(0, 2), option.slice(2)];
    } else if (/^-[sSvikLfNg]{2,}$/.test(option)) {
      continue;
    }
    const argument = () => {
      const found = value ?? rest[++i];
      if (found === undefined) throw new Error(labels.curl.noValue(option));
      return found;
    };
    switch (option) {
      case "-X": case "--request": request.method = argument(); break;
      case "-H": case "--header": {
        const line = argument();
        if (/^cookie:/i.test(line)) request.cookies = joined(request.cookies, line.slice(7).trim());
        else request.headers.push(line);
        break;
      }
      case "-b": case "--cookie": {
        const cookies = argument();
        if (!cookies.includes("=")) throw new Error(labels.curl.file(option));
        request.cookies = joined(request.cookies, cookies);
        break;
      }
      case "-d": case "--data": case "--data-ascii": case "--data-binary": case "--data-raw": {
        const text = argument();
        if (option !== "--data-raw" && text.startsWith("@")) throw new Error(labels.curl.file(option));
        data.push(text);
        break;
      }
      case "--data-urlencode": {
        const [, name = "", text = ""] = /^([^=]*)=?([^]*)$/.exec(argument()) ?? [];
        data.push(text === "" ? encodeURIComponent(name) : `${name && `${name}=`}${encodeURIComponent(text)}`);
        break;
      }
      case "--json":
        data.push(argument());
        if (!has("content-type")) request.headers.push("content-type: application/json");
        if (!has("accept")) request.headers.push("accept: application/json");
        break;
      case "-A": case "--user-agent": request.headers.push(`user-agent: ${argument()}`); break;
      case "-e": case "--referer": request.headers.push(`referer: ${argument()}`); break;
      case "-u": case "--user": request.headers.push(`authorization: Basic ${btoa(argument())}`); break;
      case "-I": case "--head": request.method ||= "HEAD"; break;
      case "-G": case "--get": inQuery = true; break;
      case "--url": request.url = argument(); break;
      default:
        if (WITH_VALUE.has(option)) argument();
        else if (option.startsWith("-") && !PLAIN.has(option)) throw new Error(labels.curl.unknown(option));
        else if (!option.startsWith("-")) {
          if (request.url !== "") throw new Error(labels.curl.twoUrls);
          request.url = option;
        }
    }
  }
  if (request.url === "") throw new Error(labels.curl.noUrl);
  if (!request.url.includes("://") && !request.url.startsWith("/")) request.url = `http://${request.url}`;
  if (data.length > 0 && inQuery) {
    request.url += (request.url.includes("?") ? "&" : "?") + data.join("&");
  } else if (data.length > 0) {
    request.body = data.join("&");
    request.method ||= "POST";
    if (!has("content-type")) request.headers.push("content-type: application/x-www-form-urlencoded");
  }
  request.method ||= "GET";
  return request;
}

function joined(cookies: string, more: string): string {
  return cookies === "" ? more : `${cookies}; ${more}`;
}
