"""The real Envoy with the filter in it: its bootstrap, its start, its end."""

from __future__ import annotations

import copy
import dataclasses
import http.client
import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import yaml

ROOT = Path(__file__).resolve().parents[2]
WASM = ROOT / "dist" / "tse-route.wasm"
ENVOY = ROOT / "target" / "venv" / "bin" / "envoy"
HEADER = "x-tse-route-upstream"
START_TIMEOUT = 60.0

# A trap of the filter, in Envoy's words or in Rust's.
TRAP = re.compile(r"Function: \w+ failed|in-VM backtrace|panicked at")

TYPES = "type.googleapis.com/"
HCM = TYPES + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
WASM_FILTER = TYPES + "envoy.extensions.filters.http.wasm.v3.Wasm"
ROUTER = TYPES + "envoy.extensions.filters.http.router.v3.Router"
EARLY_MUTATION = (
    TYPES + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
)
STRING = TYPES + "google.protobuf.StringValue"
FILE_ACCESS_LOG = TYPES + "envoy.extensions.access_loggers.file.v3.FileAccessLog"


class StartError(Exception):
    """Envoy did not start; the text is its log."""


@dataclass
class Listener:
    """A listener with the filter in it."""

    # What the filter is given: text as it is, everything else as JSON.
    config: Any
    # The cluster of requests that no rule has moved: the service's own upstream.
    own: str = "own"
    # Fields of the connection manager.
    manager: dict[str, Any] = field(default_factory=dict)
    # Fields of the filter's PluginConfig.
    plugin: dict[str, Any] = field(default_factory=dict)
    # Fields of the listener itself.
    fields: dict[str, Any] = field(default_factory=dict)
    # The request header that the filter and the routes agree on.
    header: str = HEADER
    # Whether the connection manager removes the header from what clients send, as in the examples.
    guarded: bool = True
    # The format of an access log, which `Envoy.access_log` reads.
    access_log: str | None = None
    # Whether the filter's configuration comes from a file of its own, which `Envoy.configure` replaces.
    watched: bool = False

    def filter(self) -> dict[str, Any]:
        """The filter as Envoy's API has it."""
        config = self.config if isinstance(self.config, str) else json.dumps(self.config)
        plugin = {
            "name": "tse-route",
            "root_id": "tse-route",
            "allow_on_headers_stop_iteration": True,
            "configuration": {"@type": STRING, "value": config},
            "vm_config": {
                "vm_id": "tse-route",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": str(WASM)}},
            },
            **self.plugin,
        }
        return {"@type": WASM_FILTER, "config": plugin}

    def resource(self, name: str, directory: Path) -> dict[str, Any]:
        """The listener as Envoy's API has it, on a port that Envoy picks."""
        if self.watched:
            source = {"path_config_source": {"path": str(filter_file(directory, name))}}
            discovery = {"config_source": source, "type_urls": [WASM_FILTER]}
            tse_route = {"name": "tse-route", "config_discovery": discovery}
        else:
            tse_route = {"name": "tse-route", "typed_config": self.filter()}
        routes = [
            {
                "match": {
                    "prefix": "",
                    "headers": [{"name": self.header, "present_match": True}],
                },
                "route": {"cluster_header": self.header},
            },
            {"match": {"prefix": ""}, "route": {"cluster": self.own}},
        ]
        host = {"name": "all", "domains": ["*"], "routes": routes}
        manager = {
            "@type": HCM,
            "stat_prefix": name,
            "route_config": {"virtual_hosts": [host]},
            "http_filters": [
                tse_route,
                {"name": "router", "typed_config": {"@type": ROUTER}},
            ],
            **self.manager,
        }
        if self.guarded:
            manager.setdefault("early_header_mutation_extensions", [early_removal(self.header)])
        if self.access_log is not None:
            manager["access_log"] = [
                {
                    "name": "file",
                    "typed_config": {
                        "@type": FILE_ACCESS_LOG,
                        "path": str(directory / f"{name}.access.log"),
                        "log_format": {"text_format_source": {"inline_string": self.access_log}},
                    },
                }
            ]
        return {
            "name": name,
            "stat_prefix": name,
            "address": socket_address(0),
            # Each worker gets its share of the connections, however few there are.
            "connection_balance_config": {"exact_balance": {}},
            "filter_chains": [{"filters": [manager_filter(manager)]}],
            **self.fields,
        }


def filter_file(directory: Path, listener: str) -> Path:
    """The file that Envoy reads the filter of a watched listener from."""
    return directory / f"{listener}.filter.yaml"


def early_removal(header: str) -> dict[str, Any]:
    """What removes a header before the first route is picked."""
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {"@type": EARLY_MUTATION, "mutations": [{"remove": header}]},
    }


class Reservations:
    """Free ports that no one else gets, as long as this is not closed.

    The sockets do not listen, so that Envoy, which shares its ports among its workers by the same
    option, can have them.
    """

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []

    def port(self) -> int:
        """A free port on loopback; whoever connects before a server listens on it is refused."""
        reserved = socket.socket()
        self._sockets.append(reserved)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", 0))
        return reserved.getsockname()[1]

    def close(self) -> None:
        """Gives the ports back."""
        while self._sockets:
            self._sockets.pop().close()


def seed(name: str) -> Any:
    """One of the seed's files."""
    return yaml.safe_load((ROOT / "examples" / "seed" / name).read_text())


def example() -> dict[str, Any]:
    """The bootstrap of `examples/envoy.yaml`."""
    return yaml.safe_load((ROOT / "examples" / "envoy.yaml").read_text())


def example_with(configs: dict[str, Any]) -> dict[str, Any]:
    """The example's bootstrap, with its gateway once more for each further configuration."""
    bootstrap = example()
    listeners = bootstrap["static_resources"]["listeners"]
    taken = max(ports_of(bootstrap))
    for port, (name, config) in enumerate(configs.items(), taken + 1):
        listener = copy.deepcopy(listeners[0])
        listener["name"] = name
        listener["address"] = socket_address(port)
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["stat_prefix"] = name
        plugin = manager["http_filters"][0]["typed_config"]["config"]
        plugin["configuration"]["value"] = json.dumps(config)
        listeners.append(listener)
    return bootstrap


def ports_of(bootstrap: Any) -> list[int]:
    """Every port in a bootstrap, each once."""
    if isinstance(bootstrap, dict):
        own = [bootstrap["port_value"]] if "port_value" in bootstrap else []
        found = own + [port for value in bootstrap.values() for port in ports_of(value)]
    elif isinstance(bootstrap, list):
        found = [port for value in bootstrap for port in ports_of(value)]
    else:
        found = []
    return list(dict.fromkeys(found))


def with_ports(bootstrap: Any, ports: dict[int, int]) -> Any:
    """The same bootstrap with other ports."""
    if isinstance(bootstrap, dict):
        return {
            name: ports[value] if name == "port_value" else with_ports(value, ports)
            for name, value in bootstrap.items()
        }
    if isinstance(bootstrap, list):
        return [with_ports(value, ports) for value in bootstrap]
    return bootstrap


def at_free_ports(bootstrap: dict[str, Any], reserved: Reservations) -> dict[str, Any]:
    """The same bootstrap on ports that no one else has."""
    ports = {port: reserved.port() for port in ports_of(bootstrap)}
    # The admin interface does not share: Envoy picks its port.
    ports.update({port: 0 for port in ports_of(bootstrap["admin"])})
    return with_ports(bootstrap, ports)


def socket_address(port: int) -> dict[str, Any]:
    """A port on loopback."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def manager_filter(manager: dict[str, Any]) -> dict[str, Any]:
    """A connection manager as a filter chain has it."""
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def cluster(name: str, address: dict[str, Any]) -> dict[str, Any]:
    """A cluster with one endpoint."""
    endpoint = {"endpoint": {"address": address}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def named_upstream(name: str, address: dict[str, Any]) -> dict[str, Any]:
    """A listener of Envoy's own that answers its name: the fastest upstream there is."""
    route = {
        "match": {"prefix": ""},
        "direct_response": {"status": 200, "body": {"inline_string": name}},
    }
    manager = {
        "@type": HCM,
        "stat_prefix": f"upstream.{name}",
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
    }
    return {
        "name": f"upstream {name}",
        "address": address,
        "filter_chains": [{"filters": [manager_filter(manager)]}],
    }


class Envoy:
    """A running Envoy, as a context manager."""

    def __init__(
        self,
        listeners: dict[str, Listener] | None = None,
        *,
        # Upstreams that answer their name.
        named: tuple[str, ...] = (),
        # Upstreams that stand on a port already.
        ports: dict[str, int] | None = None,
        # Fields of some clusters.
        clusters: dict[str, dict[str, Any]] | None = None,
        # A whole bootstrap in place of all that.
        bootstrap: dict[str, Any] | None = None,
        # Whether the listeners come from a file that may change while Envoy runs.
        dynamic: bool = False,
        concurrency: int = 1,
    ):
        self.concurrency = concurrency
        self.directory = Path(tempfile.mkdtemp(prefix="tse-route-"))
        self._listeners = listeners or {}
        self._named = named
        self._upstream_ports = ports or {}
        self._clusters = clusters or {}
        self._bootstrap = bootstrap
        self._dynamic = dynamic
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = ("", 0)
        self._ports: dict[str, int] = {}
        self._vms: dict[str, int] = {}

    def __enter__(self) -> Envoy:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self.check()
        finally:
            self.stop()

    def port(self, listener: str) -> int:
        """The port of a listener."""
        return self._ports[listener]

    @property
    def admin_port(self) -> int:
        """The port of the admin interface."""
        return self._admin[1]

    def admin(self, path: str) -> str:
        """What the admin interface answers."""
        connection = http.client.HTTPConnection(*self._admin, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def stats(self, filter: str = "") -> dict[str, int]:
        """Counters and gauges whose names the regular expression finds."""
        query = f"&filter={quote(filter)}" if filter else ""
        stats = json.loads(self.admin(f"/stats?format=json&type=All{query}"))["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "value" in stat}

    @property
    def log_path(self) -> Path:
        """The file that Envoy logs to."""
        return self.directory / "envoy.log"

    def log(self) -> str:
        """All that Envoy has logged."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def version(self) -> str:
        """The version of this Envoy."""
        return json.loads(self.admin("/server_info"))["version"].split("/")[1]

    def wait(self) -> NoReturn:
        """Waits for Envoy to end, which it should not."""
        assert self._process is not None
        self._process.wait()
        raise StartError(self.log())

    def access_log(self, listener: str) -> list[str]:
        """The lines of a listener's access log, as far as Envoy has written them."""
        path = self.directory / f"{listener}.access.log"
        return path.read_text(errors="replace").splitlines() if path.exists() else []

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = 20.0) -> Any:
        """Waits until the condition holds, and returns what it returned."""
        deadline = time.monotonic() + timeout
        while not (result := condition()):
            self._assert_running()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {timeout} s for: {what}")
            time.sleep(0.01)
        return result

    def check(self) -> None:
        """Fails if the filter has trapped, or if any of its VMs was replaced."""
        self._assert_running()
        traps = [line for line in self.log().splitlines() if TRAP.search(line)]
        assert not traps, "\n".join(traps)
        # Each configuration that Envoy tries makes more of them.
        changes = self._dynamic or any(one.watched for one in self._listeners.values())
        assert changes or self._wasm_vms() == self._vms, "a VM of the filter was replaced"
        reloads = {n: v for n, v in self.stats("vm_reload").items() if v != 0}
        assert not reloads, reloads

    def replace(self, listeners: dict[str, Listener]) -> None:
        """Writes the file that a dynamic Envoy reads its listeners from."""
        resources = [
            {
                "@type": TYPES + "envoy.config.listener.v3.Listener",
                **listener.resource(name, self.directory),
            }
            for name, listener in listeners.items()
        ]
        self._put(self.directory / "lds.json", resources)

    def configure(self, listener: str, config: Any) -> None:
        """Replaces the configuration of the filter of a watched listener."""
        filter = dataclasses.replace(self._listeners[listener], config=config).filter()
        resource = {
            "@type": TYPES + "envoy.config.core.v3.TypedExtensionConfig",
            "name": "tse-route",
            "typed_config": filter,
        }
        self._put(filter_file(self.directory, listener), [resource])

    def _put(self, path: Path, resources: list[dict[str, Any]]) -> None:
        new = path.with_suffix(".new")
        new.write_text(json.dumps({"resources": resources}))
        new.rename(path)  # Envoy looks when a file is moved there

    def stop(self) -> None:
        """Ends Envoy and removes its files."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self) -> None:
        bootstrap = self._bootstrap or self._compose()
        config = self.directory / "envoy.json"
        config.write_text(json.dumps(bootstrap))
        admin_path = self.directory / "admin"
        command = [
            str(ENVOY),
            *("--config-path", str(config)),
            *("--admin-address-path", str(admin_path)),
            *("--concurrency", str(self.concurrency)),
            *("--log-level", "warning"),
            *("--component-log-level", "wasm:info"),
            *("--file-flush-interval-msec", "50"),
            "--disable-hot-restart",  # several Envoys on one machine
        ]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait_for(
            lambda: admin_path.exists() and admin_path.read_text(),
            "the admin interface",
            START_TIMEOUT,
        )
        host, _, port = admin_path.read_text().rpartition(":")
        self._admin = (host, int(port))
        self.wait_for(self._is_ready, "readiness", START_TIMEOUT)
        self._read_ports()
        self._vms = self._wasm_vms()

    def _compose(self) -> dict[str, Any]:
        # Pipes instead of ports: no other process can take them.
        pipes = {
            name: {"pipe": {"path": str(self.directory / f"upstream-{index}")}}
            for index, name in enumerate(self._named)
        }
        addresses = pipes | {n: socket_address(p) for n, p in self._upstream_ports.items()}
        upstreams = [named_upstream(name, address) for name, address in pipes.items()]
        gateways = [
            listener.resource(name, self.directory) for name, listener in self._listeners.items()
        ]
        clusters = [cluster(n, a) | self._clusters.get(n, {}) for n, a in addresses.items()]
        static: dict[str, Any] = {"clusters": clusters}
        for name, listener in self._listeners.items():
            if listener.watched and not filter_file(self.directory, name).exists():
                self.configure(name, listener.config)
        bootstrap = {
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": socket_address(0)},
            "stats_config": example()["stats_config"],
            "static_resources": static,
        }
        if self._dynamic:
            static["listeners"] = upstreams
            self.replace(self._listeners)
            source = {"path": str(self.directory / "lds.json")}
            bootstrap["dynamic_resources"] = {"lds_config": {"path_config_source": source}}
        else:
            static["listeners"] = upstreams + gateways
        return bootstrap

    def _is_ready(self) -> bool:
        try:
            return self.admin("/ready").strip() == "LIVE"
        except OSError:
            return False

    def _read_ports(self) -> None:
        for listener in json.loads(self.admin("/listeners?format=json"))["listener_statuses"]:
            address = listener["local_address"].get("socket_address")
            if address is not None:
                self._ports[listener["name"]] = address["port_value"]

    def _wasm_vms(self) -> dict[str, int]:
        return self.stats("^wasm.envoy.wasm.runtime")

    def _assert_running(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise StartError(self.log())
