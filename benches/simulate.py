"""`make bench-simulate`: how long ten million requests take `tse-route simulate`, on one core."""

from __future__ import annotations

import json
import resource
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TOOL = ROOT / "dist" / "tse-route"
REQUESTS = 10_000_000
RULES = 100


def rule(number: int, header: str) -> dict[str, object]:
    """A rule that holds on one value of a header, with two upstreams."""
    item = {"key": header, "operator": "eq", "value": f"value-{number}"}
    upstream = [{"name": "stable", "weight": 90}, {"name": "canary", "weight": 10}]
    return {"condition": {"header": item}, "upstream": upstream}


CONFIGURATIONS = {
    "one header": [rule(number, "x-tenant") for number in range(RULES)],
    "different headers": [rule(number, f"x-header-{number}") for number in range(RULES)],
}


def main() -> None:
    for name, rules in CONFIGURATIONS.items():
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({"rules": rules}, file)
            file.flush()
            before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
            command = [TOOL, "simulate", "-c", file.name, "--requests", str(REQUESTS)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        print(f"{RULES} rules on {name}: {REQUESTS:,} requests took {seconds:.1f} s of CPU")


if __name__ == "__main__":
    main()
