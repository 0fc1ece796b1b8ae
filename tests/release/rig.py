"""A gateway under load, two versions behind it, a Prometheus that watches: what a release moves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from gateway import ROOT, STRING, TYPES, WASM, WASM_FILTER, Listener, filter_file
from observed import Observed
from prometheus import Prometheus

CLI = ROOT / "target" / "debug" / "tse-route"
RULE = "checkout"
REQUESTS_PER_SECOND = 250
CONNECTIONS = 10

# The file that Envoy watches; the comments are there to stay.
EXTENSION = f"""\
# The rule of the shop. Whoever changes it, changes it here.
resources:
- "@type": {TYPES}envoy.config.core.v3.TypedExtensionConfig
  name: tse-route
  typed_config:
    "@type": {WASM_FILTER}
    config:
      name: tse-route
      root_id: tse-route
      vm_config:
        vm_id: tse-route
        runtime: envoy.wasm.runtime.v8
        code: {{local: {{filename: {WASM}}}}}
      configuration:
        "@type": {STRING}
        value: |
          {{"rules": [{{
            "name": "{RULE}",
            "upstream": [
              {{"name": "blue", "weight": 100}},
              {{"name": "green", "weight": 0}}
            ]
          }}]}}
# The end.
"""


@dataclass
class Version:
    """A version of the service: how it answers."""

    port: int = 0
    served: int = 0
    # Of a thousand answers, how many are 500.
    failing: int = 0
    delay: float = 0.0
    healthy: bool = True

    def status(self, path: str) -> int:
        """The status of the next answer; health is asked past the gateway."""
        if path == "/health":
            return 200 if self.healthy else 503
        self.served += 1
        # Spread evenly, so that a test does not depend on luck.
        return 500 if self.served * self.failing % 1000 < self.failing else 200


class Shop:
    """Both versions and the load, on a thread of their own."""

    def __init__(self) -> None:
        self.versions = {"blue": Version(), "green": Version()}
        self.answers: Counter[str] = Counter()
        self.gateway_port = 0
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self._connections: set[asyncio.StreamWriter] = set()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._run(self._listen())

    def begin(self, port: int) -> None:
        """Begins the load."""
        self.gateway_port = port
        self._run(self._load())

    def end(self) -> None:
        """Ends load and servers."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def restore(self) -> None:
        """Both versions are well again, and nothing is counted yet."""
        for version in self.versions.values():
            version.failing, version.delay, version.healthy = 0, 0.0, True
        self.answers.clear()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _listen(self) -> None:
        for version in self.versions.values():
            server = await asyncio.start_server(
                lambda reader, writer, version=version: self._serve(version, reader, writer),
                "127.0.0.1",
                0,
            )
            version.port = server.sockets[0].getsockname()[1]

    async def _serve(
        self, version: Version, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._connections.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                status = version.status(path)
                if version.delay and path != "/health":
                    await asyncio.sleep(version.delay)
                body = b'{"status": "UP", "checks": [{"state": true}]}'
                writer.write(
                    b"HTTP/1.1 %d Said\r\nx-version: %d\r\ncontent-length: %d\r\n\r\n%s"
                    % (status, version.port, len(body), body)
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._connections.discard(writer)
            writer.close()

    async def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for writer in list(self._connections):
            writer.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait_for(asyncio.gather(*others, return_exceptions=True), 15)

    async def _load(self) -> None:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(CONNECTIONS)]

    async def _client(self) -> None:
        """Requests at an even pace, on a connection that is kept."""
        writer = None
        while True:
            begun = time.monotonic()
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.gateway_port)
                writer.write(b"GET / HTTP/1.1\r\nhost: shop.test\r\n\r\n")
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 15)
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(length)
                self.answers[head.split(b" ", 2)[1].decode()] += 1
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, IndexError) as error:
                self.answers[type(error).__name__] += 1
                writer = None
            rest = CONNECTIONS / REQUESTS_PER_SECOND - (time.monotonic() - begun)
            await asyncio.sleep(max(rest, 0))


class Watching(Observed):
    """An Envoy whose filter's configuration comes from a file that it watches."""

    @property
    def file(self) -> Path:
        """That file."""
        return filter_file(self.directory, "shop")

    def _compose(self) -> dict[str, Any]:
        self.file.write_text(EXTENSION)
        return super()._compose()


class Scraping(Prometheus):
    """A Prometheus that scrapes twice a second."""

    def _configure(self) -> None:
        super()._configure()
        path = self._directory / "prometheus.yml"
        config = yaml.safe_load(path.read_text())
        config["global"]["scrape_interval"] = "500ms"
        path.write_text(yaml.safe_dump(config))

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._port}"

    def pause(self) -> None:
        """Lets it stand still, as if the network were cut."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends a pause."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Runner:
    """A running `tse-route release run`."""

    def __init__(self, arguments: list[str], log: Path):
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(CLI), "release", "run", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NO_COLOR": "1"},
            )

    def wait(self, timeout: float = 90.0) -> int:
        """The exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end in {timeout} s:\n{self.text()}") from None

    def kill(self) -> None:
        """SIGKILL: the runner has no time to say anything."""
        self.process.kill()
        self.process.wait(10)

    def text(self) -> str:
        """What it has printed."""
        return self.log.read_text(errors="replace")


class Rig:
    """All of it together."""

    def __init__(self, shop: Shop, envoy: Watching, prometheus: Scraping):
        self.shop = shop
        self.envoy = envoy
        self.prometheus = prometheus
        self.directory = Path()

    def settle(self, directory: Path) -> None:
        """Everything as before a first release."""
        self.directory = directory
        self.prometheus.go_on()
        self.replace(EXTENSION)
        self.envoy.wait_for(lambda: self.configured() == (10_000, 0), "the weights to be back")
        self.shop.restore()
        # Requests that are on their way are answered, and Prometheus has counted them.
        begun = time.time() + 1
        newest = f'timestamp(tse_route_configured_weight{{rule="{RULE}", upstream="green"}})'

        def counted() -> bool:
            try:
                return any(value > begun for _, value in self.prometheus.query(newest))
            except OSError:
                return False

        self.envoy.wait_for(counted, "a scrape")
        self.shop.answers.clear()

    def replace(self, text: str) -> None:
        """Replaces the file that Envoy watches."""
        new = self.envoy.file.with_name("new.yaml")
        new.write_text(text)
        new.rename(self.envoy.file)

    def configured(self) -> tuple[float | None, float | None]:
        """The weights that Envoy shows: blue's, green's."""
        of = lambda upstream: self.envoy.value(  # noqa: E731
            "tse_route_configured_weight", rule=RULE, upstream=upstream
        )
        return of("blue"), of("green")

    def weights(self) -> dict[str, float]:
        """The weights in the file."""
        shown = self.ask("weights", str(self.envoy.file), RULE, "--output", "json")
        return json.loads(shown.stdout)["weights"]

    def plan(self, name: str = "shop-2", **fields: Any) -> Path:
        """Writes a plan with quick steps, or with others."""
        plan = {
            "release": name,
            "rule": RULE,
            "stable": "blue",
            "canary": "green",
            "labels": {"version": "2"},
            "gateways": [{"file": str(self.envoy.file)}],
            "verify": {
                "within": "3s",
                "checks": [
                    {
                        "url": f"http://127.0.0.1:{self.shop.versions['green'].port}/health",
                        "json": {"status": "UP", "checks[0].state": True},
                        "every": "500ms",
                    },
                    {"command": ["test", "-d", str(self.directory)]},
                ],
            },
            "steps": [{"weight": 20, "for": "1s"}, {"weight": 50, "for": "1s"}],
            "analysis": self.analysis(),
            "every": "200ms",
            **fields,
        }
        path = self.directory / f"{name}.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in plan.items() if v is not None}))
        return path

    def analysis(self, **fields: Any) -> dict[str, Any]:
        """An analysis for quick steps."""
        return {
            "prometheus": self.prometheus.url,
            "selector": {"job": "envoy"},
            "every": "500ms",
            "errors": {"margin": 2},
            "deadline": "60s",
            **fields,
        }

    def run(self, plan: Path, *flags: str) -> Runner:
        """Starts a run."""
        return Runner([str(plan), *flags], plan.with_suffix(".log"))

    def ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return subprocess.run(
            [str(CLI), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "NO_COLOR": "1"},
        )

    def release(self, name: str = "shop-2") -> dict[str, Any]:
        """What the record says of a release."""
        path = self.directory / "releases" / "releases" / f"{name}.json"
        return json.loads(path.read_text()) if path.exists() else {"phase": None, "history": []}

    def environment(self, upstream: str) -> dict[str, Any]:
        """What the record says of an environment."""
        path = self.directory / "releases" / "environments" / f"{RULE}~{upstream}.json"
        return json.loads(path.read_text())

    def wait_for(self, condition: Callable[[], Any], what: str, timeout: float = 60.0) -> Any:
        """Waits until a condition holds."""
        return self.envoy.wait_for(condition, what, timeout)

    def failures(self) -> dict[str, int]:
        """Requests that were not answered well."""
        return {answer: count for answer, count in self.shop.answers.items() if answer != "200"}


@contextmanager
def rig() -> Iterator[Rig]:
    """A gateway under load."""
    shop = Shop()
    listener = Listener({"rules": []}, own="blue", watched=True)
    ports = {name: version.port for name, version in shop.versions.items()}
    try:
        with Watching({"shop": listener}, ports=ports) as envoy:
            targets = {"envoy": [envoy.admin_port], "kong": []}
            with Scraping(targets) as prometheus:
                shop.begin(envoy.port("shop"))
                try:
                    yield Rig(shop, envoy, prometheus)
                finally:
                    prometheus.go_on()
    finally:
        shop.end()
