// Configurations to begin with, each with a request that shows something.

import kong from "../../examples/canary/kong.yaml?raw";
import envoy from "../../examples/envoy.yaml?raw";
import header from "../../examples/seed/header.yaml?raw";
import query from "../../examples/seed/query.yaml?raw";
import weights from "../../examples/seed/weights.yaml?raw";
import breaker from "../examples/breaker.yaml?raw";
import canary from "../examples/canary.yaml?raw";
import ramp from "../examples/ramp.yaml?raw";
import sticky from "../examples/sticky.yaml?raw";
import tiers from "../examples/tiers.yaml?raw";
import { labels } from "./labels";
import type { Request } from "./request";

export interface Example {
  name: string;
  label: string;
  text: string;
  request: Partial<Request>;
  /** RFC 3339; without it the present. */
  clock?: string;
}

const { groups, ...names } = labels.examples;
const example = (name: keyof typeof names, text: string, request: Partial<Request> = {}, clock?: string): Example => ({
  name, label: names[name], text, request, ...(clock !== undefined && { clock }),
});

/** The examples, by group. */
export const examples: [string, Example[]][] = [
  [groups.seed, [
    example("header", header, { headers: ["version: 1"] }),
    example("query", query, { url: "/?age=25" }),
    example("weights", weights),
  ]],
  [groups.delivery, [
    example("canary", canary, { url: "/cart?uid=8" }),
    example("sticky", sticky, { url: "/checkout", headers: ["x-user: alice"] }),
    example("ramp", ramp, {}, "2030-01-31T10:00:00Z"),
    example("breaker", breaker),
    example("tiers", tiers, { url: "/shop/cart", cookies: "tester=1" }),
  ]],
  [groups.gateways, [
    example("kong", kong),
    example("envoy", envoy),
  ]],
];
