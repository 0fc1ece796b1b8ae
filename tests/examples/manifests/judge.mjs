// Judges manifests by the types and the validators that are generated from the APIs themselves.
//
// The argument is a file with a list of manifests as JSON; printed is a list as long, with the faults of
// each. The types refuse what a schema without `additionalProperties` lets through: unknown fields. The
// validators see what types cannot: patterns, bounds, how many.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";

/** Where the types of an API group are. */
const PACKAGES = {
  "gateway.envoyproxy.io": "@kubernetes-models/envoy-gateway/",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api/",
  "argoproj.io": "@kubernetes-models/argo-rollouts/",
  "extensions.istio.io": "@kubernetes-models/istio/",
  "networking.istio.io": "@kubernetes-models/istio/",
};

function moduleOf({ apiVersion, kind }) {
  return `${PACKAGES[apiVersion.split("/")[0]] ?? "kubernetes-models/"}${apiVersion}/${kind}`;
}

async function invalid(manifest) {
  try {
    const { [manifest.kind]: Model } = await import(moduleOf(manifest));
    new Model(manifest).validate();
    return [];
  } catch (error) {
    return [error.message];
  }
}

/** What the compiler says of each manifest, as a literal of its type. */
function mistyped(manifests) {
  const directory = mkdtempSync("judged-");
  try {
    const files = manifests.map((manifest, index) => {
      const file = `${directory}/${index}.ts`;
      const type = `import type { I${manifest.kind} } from "${moduleOf(manifest)}";`;
      writeFileSync(file, `${type}\nexport const it: I${manifest.kind} = ${JSON.stringify(manifest, null, 1)};\n`);
      return file;
    });
    const said = manifests.map(() => []);
    const options = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--skipLibCheck"];
    options.push("--target", "es2022", "--module", "nodenext", "--pretty", "false");
    try {
      execFileSync("node_modules/.bin/tsc", [...options, ...files], { encoding: "utf8", maxBuffer: 1 << 26 });
    } catch (error) {
      for (const line of error.stdout.split("\n").filter((line) => /\S/.test(line))) {
        const [, index, fault] = /^judged-\w+\/(\d+)\.ts\(\d+,\d+\): (.*)$/.exec(line) ?? [];
        if (index === undefined && !line.startsWith(" ")) throw new Error(line);
        if (index !== undefined) said[Number(index)].push(fault);
      }
    }
    return said;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const manifests = JSON.parse(readFileSync(process.argv[1], "utf8"));
const byType = mistyped(manifests);
const byValue = await Promise.all(manifests.map(invalid));
console.log(JSON.stringify(manifests.map((_, index) => [...byType[index], ...byValue[index]])));
