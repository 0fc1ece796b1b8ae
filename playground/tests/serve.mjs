// A web server for the built page, on a port of its own and under a path: a page that works from any
// web space works from there.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../../", import.meta.url));
export const DIST = join(ROOT, "dist", "playground");

const TYPES = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".wasm": "application/wasm",
};

/** Serves the page; `close` ends it. */
export async function serve() {
  const server = createServer(async ({ url }, response) => {
    const path = decodeURIComponent(new URL(url ?? "/", "http://host").pathname);
    const within = path.startsWith("/some/where/") ? normalize(path.slice("/some/where".length)) : "/../";
    const file = join(DIST, within === "/" ? "index.html" : within);
    try {
      if (!file.startsWith(DIST)) throw new Error("not of the page");
      const content = await readFile(file);
      response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" }).end(content);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", () => listening(undefined)));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { url: `http://127.0.0.1:${port}/some/where/`, close: () => server.close() };
}
