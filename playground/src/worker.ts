// The engine, beside the page: a long simulation keeps nobody from typing.

import init, { Document, importText, schema, type Simulation } from "../engine/tse_route_playground";

/** How many requests are simulated between two looks at what the page wants. */
const PORTION = 20_000;

export interface Call {
  id: number;
  name: string;
  args: unknown[];
}

export type Reply =
  | { id: number; result: unknown }
  | { id: number; error: string }
  | { id: number; progress: number };

const ready = init();
const cancelled = new Set<number>();
let document: Document | undefined;
let text: string | undefined;

/** The configurations of a text; the last one is kept. */
function read(wanted: string): Document {
  if (document === undefined || wanted !== text) {
    document?.free();
    document = new Document(wanted);
    text = wanted;
  }
  return document;
}

const parsed = (json: string): unknown => JSON.parse(json);

async function simulate(id: number, simulation: Simulation, requests: number): Promise<unknown> {
  try {
    for (let done = 0; done < requests && !cancelled.delete(id); ) {
      done = simulation.advance(PORTION);
      reply({ id, progress: done / requests });
      await new Promise((next) => setTimeout(next));
    }
    return parsed(simulation.report());
  } finally {
    simulation.free();
  }
}

const calls = {
  schema: () => parsed(schema()),
  check: (_: number, wanted: string) => parsed(read(wanted).check()),
  explain: (_: number, wanted: string, configuration: number, one: string, now: number) =>
    parsed(read(wanted).explain(configuration, one, now)),
  decisions: (_: number, wanted: string, configuration: number, cases: string[], now: number) =>
    cases.map((one) => {
      try {
        return parsed(read(wanted).decision(configuration, one, now));
      } catch (error) {
        return { error: String(error) };
      }
    }),
  simulate: (
    id: number,
    wanted: string,
    configuration: number,
    one: string | undefined,
    requests: number,
    now: number,
  ) => simulate(id, read(wanted).simulation(configuration, one, requests, now), requests),
  shares: (_: number, wanted: string, configuration: number, rule: number, from: number, to: number, times: number) =>
    parsed(read(wanted).shares(configuration, rule, from, to, times)),
  moves: (_: number, wanted: string, configuration: number, rule: number, weights: number[], clients: number, now: number) =>
    parsed(read(wanted).moves(configuration, rule, new Uint32Array(weights), clients, now)),
  outage: (_: number, wanted: string, configuration: number, rule: number, upstream: string, rate: number, now: number) =>
    parsed(read(wanted).outage(configuration, rule, upstream, rate, now)),
  importText: (_: number, foreign: string) => parsed(importText(foreign)),
  cancel: (_: number, id: number) => void cancelled.add(id),
};

/** The calls that there are, as the page sees them. */
export type Calls = typeof calls;

function reply(message: Reply): void {
  postMessage(message);
}

addEventListener("message", async ({ data }: MessageEvent<Call>) => {
  const { id, name, args } = data;
  try {
    await ready;
    const call = calls[name as keyof Calls] as (id: number, ...args: unknown[]) => unknown;
    reply({ id, result: await call(id, ...args) });
  } catch (error) {
    reply({ id, error: error instanceof Error ? error.message : String(error) });
  }
});
