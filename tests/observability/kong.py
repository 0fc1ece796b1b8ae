"""Stands in for the `/metrics` of Kongs, with the names and labels of the bridge plugin."""

from __future__ import annotations

import http.server
import threading
from collections import Counter

RULE = {"rule": "10", "service": "shop", "route": "cart"}
LATENCY = "kong_tse_route_upstream_latency_ms"
BUCKETS = ("1", "5", "10", "25", "50", "100", "+Inf")


class Kong:
    """A Kong whose numbers are made up; `bridge` is whether it has the bridge plugin."""

    def __init__(self, bridge: bool = True):
        self.bridge = bridge
        self._samples: Counter[str] = Counter()
        for upstream in ("stable", "canary"):
            self.serve(upstream, 0)
        self.fail("unknown-upstream", 0)
        kong = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = kong._exposition().encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain; charset=UTF-8")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()

    def serve(self, upstream: str, requests: int, milliseconds: int = 3) -> None:
        """Counts requests that were answered with 200 by an upstream."""
        labels = RULE | {"upstream": upstream}
        self._add("kong_tse_route_requests_total", labels, requests)
        self._add("kong_tse_route_responses_total", labels | {"class": "2xx"}, requests)
        self._add("kong_tse_route_responses_total", labels | {"class": "5xx"}, 0)
        for le in BUCKETS:
            inside = requests if float(le) >= milliseconds else 0
            self._add(f"{LATENCY}_bucket", labels | {"le": le}, inside)
        self._add(f"{LATENCY}_count", labels, requests)
        self._add(f"{LATENCY}_sum", labels, requests * milliseconds)

    def fail(self, reason: str, requests: int = 1) -> None:
        """Counts an error."""
        self._add("kong_tse_route_errors_total", {"reason": reason}, requests)

    def _add(self, name: str, labels: dict[str, str], by: int) -> None:
        text = ",".join(f'{label}="{value}"' for label, value in labels.items())
        self._samples[f"{name}{{{text}}}"] += by

    def _exposition(self) -> str:
        lines = ['kong_node_info{node_id="1",version="3.9.1"} 1']
        if self.bridge:
            lines.append('kong_tse_route_bridge_info{version="0.1.0"} 1')
            lines += [f"{series} {value}" for series, value in self._samples.items()]
        return "\n".join(lines) + "\n"
