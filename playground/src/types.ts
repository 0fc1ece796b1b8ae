// What the engine answers: `cli/src/api.rs` says what it means.

export interface Fault {
  severity: "error" | "warning";
  /** In UTF-16 code units. */
  from: number;
  to: number;
  line: number;
  column: number;
  subject: string | null;
  path: string | null;
  message: string;
}

export interface RuleSummary {
  index: number;
  name: string | null;
  weight: number;
  enabled: boolean;
  /** In hundredths, as the weights. */
  weight_total: number;
  upstreams: { name: string | null; weight: number }[];
  hash_on: string | null;
  /** When it starts and ends, in milliseconds since 1970. */
  rollout: [number, number] | null;
  breakers: boolean;
}

export interface Configuration {
  label: string | null;
  usable: boolean;
  rules: RuleSummary[];
}

export interface Checked {
  faults: Fault[];
  configurations: Configuration[];
}

export interface Label {
  index: number;
  name: string | null;
  weight: number;
}

export interface Item {
  path: string;
  location: string;
  key: string | null;
  operator: string;
  value: string | null;
  found: string | null;
  holds: boolean | null;
}

export interface Step {
  rule: Label;
  result: "decides" | "fails" | "overtaken" | "not reached" | "disabled";
  match_type: "AND" | "OR";
  items: Item[];
}

export interface Answer {
  rule: Label | null;
  upstream: string | null;
  by_chance: boolean;
  probabilities: Record<string, number>;
  hash: { on: string; key: string; client: string } | null;
  response_headers: [string, string][];
  request_headers: {
    remove: string[];
    set: [string, string][];
    add: [string, string][];
    /** Members as they stand in the header, and keys of those that only go. */
    baggage: { remove: string[]; set: string[] } | null;
  };
  trace: Step[];
}

export interface Explained {
  answer: Answer;
  differences: string[];
}

/** A request as the files of `explain --cases` have it. */
export interface Case {
  name?: string;
  request: string;
  headers?: string[];
  cookies?: string[];
  body?: string;
  client_ip?: string;
  scheme?: string;
  at?: string;
  plugin?: string;
  expect?: Partial<Pick<Answer, "upstream" | "probabilities">> & {
    rule?: { weight: number; name?: string } | null;
  };
}

export interface Report {
  requests: number;
  unmatched: number;
  rules: {
    rule: Label;
    requests: number;
    p_value: number | null;
    upstreams: {
      name: string;
      configured: number;
      observed: number | null;
      deviation: number | null;
      requests: number;
    }[];
  }[];
  without: string[];
}

export interface Shares {
  times: number[];
  upstreams: string[];
  shares: number[][];
}

export interface Moves {
  upstreams: string[];
  clients: [string, string][];
  requests: number;
  moves: {
    moved: number;
    share: number;
    necessary: number;
    ways: { from: string; to: string; requests: number; share: number }[];
  };
}

export interface Outage {
  seconds: number[];
  upstreams: string[];
  shares: number[][];
  states: string[];
  outage: [number, number];
  requests: number;
}

export interface Imported {
  /** Empty where nothing could be imported. */
  yaml: string;
  remarks: Fault[];
}
