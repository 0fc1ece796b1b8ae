"""The gateway, the client and the upstreams are those of the tests in the real Envoy."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "envoy"))
