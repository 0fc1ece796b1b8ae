"""One Envoy with a listener for every contender, so that all are measured in the same process."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from rules import HEADER

TYPES = "type.googleapis.com/"
FILTERS = TYPES + "envoy.extensions.filters."


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wasm(path: Path, config: str = "") -> dict[str, Any]:
    """The filter of a module, in a virtual machine of its own."""
    return {
        "name": "wasm",
        "typed_config": {
            "@type": FILTERS + "http.wasm.v3.Wasm",
            "config": {
                "root_id": "bench",
                "allow_on_headers_stop_iteration": True,
                "configuration": {"@type": TYPES + "google.protobuf.StringValue", "value": config},
                "vm_config": {
                    "vm_id": f"{path.name}-{len(config)}-{hash(config)}",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": str(path)}},
                },
            },
        },
    }


def lua(script: str) -> dict[str, Any]:
    config = {"@type": FILTERS + "http.lua.v3.Lua", "default_source_code": {"inline_string": script}}
    return {"name": "lua", "typed_config": config}


class Gateway:
    """A running Envoy with one worker; its upstream is another Envoy that answers by itself."""

    def __init__(self, envoy: Path, directory: Path) -> None:
        self._envoy, self._directory = envoy, directory
        self._listeners: list[dict[str, Any]] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._upstream = free_port()
        self.ports: dict[str, int] = {}

    def add(self, name: str, filters: list[dict[str, Any]], routes: list[dict[str, Any]]) -> None:
        """A listener with these filters, and with these routes before those that filters use."""
        self.ports[name] = free_port()
        by_header = {
            "match": {"prefix": "/", "headers": [{"name": HEADER, "present_match": True}]},
            "route": {"cluster_header": HEADER},
        }
        fallback = {"match": {"prefix": "/"}, "route": {"cluster": "stable"}}
        self._listeners.append(self._listener(name, self.ports[name], filters, [*routes, by_header, fallback]))

    @staticmethod
    def _listener(name: str, port: int, filters: list[dict[str, Any]], routes: list[dict[str, Any]]) -> dict[str, Any]:
        manager = {
            "@type": FILTERS + "network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "bench",
            "generate_request_id": False,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            "http_filters": [
                *filters,
                {"name": "router", "typed_config": {"@type": FILTERS + "http.router.v3.Router"}},
            ],
        }
        return {
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [
                {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
            ],
        }

    def start(self) -> float:
        """Starts both; returns the seconds until the one under test took connections."""
        answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}}
        upstream = self._listener("upstream", self._upstream, [], [answer])
        self._run("upstream", {"static_resources": {"listeners": [upstream]}}, self._upstream)
        endpoint = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": self._upstream}}}
        clusters = [
            {
                "name": name,
                "type": "STATIC",
                "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
            }
            for name in ("stable", "canary")
        ]
        resources = {"listeners": self._listeners, "clusters": clusters}
        return self._run("gateway", {"static_resources": resources}, next(iter(self.ports.values())))

    def _run(self, name: str, bootstrap: dict[str, Any], port: int) -> float:
        config, log = self._directory / f"{name}.json", self._directory / f"{name}.log"
        config.write_text(json.dumps(bootstrap))
        command = [self._envoy, "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warning"]
        start = time.monotonic()
        with log.open("wb") as output:
            self._processes.append(subprocess.Popen(command, stdout=output, stderr=output))
        while True:
            if self._processes[-1].poll() is not None or time.monotonic() > start + 120:
                raise SystemExit(f"Envoy did not start:\n{log.read_text()[-3000:]}")
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return time.monotonic() - start
            except OSError:
                time.sleep(0.005)

    def cpu(self) -> float:
        """The seconds of processor time that all threads of the Envoy under test have had."""
        nanoseconds = 0
        for task in Path(f"/proc/{self._processes[-1].pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text().split()[0])
        return nanoseconds / 1e9

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait(10)
