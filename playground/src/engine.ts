// The engine as the page asks it: every call is a message to the worker.

import type {
  Case, Checked, Explained, Imported, Moves, Outage, Report, Shares,
} from "./types";
import type { Calls, Reply } from "./worker";
import type { Schema } from "./schema";

interface Waiting {
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
  progress?: (done: number) => void;
}

const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
const waiting = new Map<number, Waiting>();
let last = 0;

worker.addEventListener("message", ({ data }: MessageEvent<Reply>) => {
  const call = waiting.get(data.id);
  if (call === undefined) return;
  if ("progress" in data) return call.progress?.(data.progress);
  waiting.delete(data.id);
  if ("error" in data) call.reject(new Error(data.error));
  else call.resolve(data.result);
});

function ask<T>(name: keyof Calls, args: unknown[], progress?: (done: number) => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const call: Waiting = { resolve: resolve as (result: unknown) => void, reject };
    if (progress) call.progress = progress;
    waiting.set(++last, call);
    worker.postMessage({ id: last, name, args });
  });
}

export const schema = () => ask<Schema>("schema", []);

export const check = (text: string) => ask<Checked>("check", [text]);

export const importText = (foreign: string) => ask<Imported>("importText", [foreign]);

/** The configuration that is asked, and when. */
export interface Subject {
  text: string;
  configuration: number;
  /** In milliseconds since 1970. */
  now: number;
}

export const explain = (subject: Subject, one: Case) =>
  ask<Explained>("explain", [subject.text, subject.configuration, JSON.stringify(one), subject.now]);

/** Answers without a trace. */
export const decisions = (subject: Subject, cases: Case[]) =>
  ask<(Explained | { error: string })[]>("decisions", [
    subject.text, subject.configuration, cases.map((one) => JSON.stringify(one)), subject.now,
  ]);

export const shares = (subject: Subject, rule: number, from: number, to: number, times: number) =>
  ask<Shares>("shares", [subject.text, subject.configuration, rule, from, to, times]);

export const moves = (subject: Subject, rule: number, weights: number[], clients: number) =>
  ask<Moves>("moves", [subject.text, subject.configuration, rule, weights, clients, subject.now]);

export const outage = (subject: Subject, rule: number, upstream: string, rate: number) =>
  ask<Outage>("outage", [subject.text, subject.configuration, rule, upstream, rate, subject.now]);

/** A simulation on its way, and how to end it before its time. */
export function simulate(
  subject: Subject,
  one: Case | undefined,
  requests: number,
  progress: (done: number) => void,
): { report: Promise<Report>; cancel: () => void } {
  const report = ask<Report>(
    "simulate",
    [subject.text, subject.configuration, one && JSON.stringify(one), requests, subject.now],
    progress,
  );
  const id = last;
  return { report, cancel: () => void ask("cancel", [id]) };
}
