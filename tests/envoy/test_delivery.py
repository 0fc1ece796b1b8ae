"""Progressive delivery through the real Envoy: sticking, ramping up, falling back."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from chance import bounds, unlikely
from client import head
from gateway import Envoy, Listener, Reservations

USERS = 1_000
EACH = 20
CONNECTIONS = 16


@pytest.fixture
def figure(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Prints a figure even where the test passes."""

    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", end="", flush=True)

    return show


Answer = tuple[int, dict[str, str], str]


async def answer(reader: asyncio.StreamReader) -> Answer:
    """Reads one answer: status, headers, body."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:-2])}
    body = await reader.readexactly(int(fields.get("content-length", 0)))
    return int(lines[0].split(" ")[1]), fields, body.decode("latin-1")


def visit(port: int, users: int, visitor: Callable[..., Any]) -> list[Any]:
    """Lets every user visit; a user's requests follow each other, users are side by side."""

    async def one(first: int) -> list[tuple[int, Any]]:
        # Two connections, so that a user meets both workers.
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        turn = 0

        async def send(*headers: tuple[str, str], target: str = "/") -> Answer:
            nonlocal turn
            reader, writer = streams[turn % 2]
            turn += 1
            writer.write(head("GET", target, headers))
            return await answer(reader)

        try:
            return [(user, await visitor(user, send)) for user in range(first, users, CONNECTIONS)]
        finally:
            for _, writer in streams:
                writer.close()

    async def everyone() -> list[tuple[int, Any]]:
        parts = await asyncio.wait_for(asyncio.gather(*map(one, range(CONNECTIONS))), timeout=120)
        return [visited for part in parts for visited in part]

    return [result for _, result in sorted(asyncio.run(everyone()), key=lambda pair: pair[0])]


def canary_rule(share: float, **more: Any) -> dict[str, Any]:
    """A configuration with one rule for everything."""
    upstream = [{"name": "stable", "weight": 100 - share}, {"name": "canary", "weight": share}]
    return {"rules": [{"name": "checkout", "weight": 10, "upstream": upstream, **more}]}


STICKY = {
    "header": Listener(canary_rule(20, hash_on="header", hash_on_header="x-user")),
    "cookie": Listener(canary_rule(20, hash_on="cookie", hash_on_cookie="uid")),
}


@pytest.fixture(scope="module")
def sticky() -> Iterator[Envoy]:
    """Gateways with two workers each."""
    with Envoy(STICKY, named=("own", "stable", "canary"), concurrency=2) as envoy:
        yield envoy


def check_stuck(seen: list[set[str]], figure: Callable[[str], None]) -> None:
    """Every user saw one upstream, and the canary got its share of the users."""
    wanderers = [upstreams for upstreams in seen if len(upstreams) != 1]
    on_canary = sum(upstreams == {"canary"} for upstreams in seen)
    figure(f"{len(seen)} users × {EACH} requests: {len(wanderers)} wandered, "
           f"the canary has {100 * on_canary / len(seen):.1f} % of 20 %")
    assert not wanderers
    least, most = bounds(len(seen), 0.2)
    assert least <= on_canary <= most


def test_users_stick_by_a_header(sticky: Envoy, figure: Callable[[str], None]) -> None:
    """Without a cookie jar, on both workers."""

    async def visitor(user: int, send: Callable[..., Any]) -> set[str]:
        return {(await send(("x-user", f"user-{user}")))[2] for _ in range(EACH)}

    check_stuck(visit(sticky.port("header"), USERS, visitor), figure)


def test_users_stick_by_a_cookie_that_is_issued(
    sticky: Envoy, figure: Callable[[str], None]
) -> None:
    """The first answer brings the cookie, and leads where all others will."""

    async def visitor(_: int, send: Callable[..., Any]) -> tuple[set[str], str]:
        status, fields, first = await send()
        assert status == 200
        match = re.fullmatch(
            r"uid=([0-9a-f]{32}); Path=/; HttpOnly; SameSite=Lax", fields.get("set-cookie", "")
        )
        assert match, fields
        seen = {first}
        for _ in range(EACH - 1):
            _, fields, upstream = await send(("cookie", f"theme=dark; uid={match[1]}"))
            assert "set-cookie" not in fields, "a cookie is issued once"
            seen.add(upstream)
        return seen, match[1]

    visits = visit(sticky.port("cookie"), USERS, visitor)
    assert len({cookie for _, cookie in visits}) == USERS, "every user has an id"
    check_stuck([seen for seen, _ in visits], figure)


def test_a_ramp_sends_nobody_back(figure: Callable[[str], None]) -> None:
    """From 5 to 50 % in a few seconds, under load."""
    sticky = {"hash_on": "header", "hash_on_header": "x-user"}
    on_canary = [False] * USERS
    rounds: list[float] = []
    back = failed = sent = 0

    async def visitor(user: int, send: Callable[..., Any]) -> tuple[int, str]:
        status, _, upstream = await send(("x-user", f"user-{user}"))
        return status, upstream

    def visit_all() -> None:
        nonlocal back, failed, sent
        answers = visit(envoy.port("ramp"), USERS, visitor)
        for user, (status, upstream) in enumerate(answers):
            failed += status != 200
            back += on_canary[user] and upstream == "stable"
            on_canary[user] = upstream == "canary"
        sent += len(answers)
        rounds.append(100 * sum(on_canary) / USERS)

    named = ("own", "stable", "canary")
    plain = {"ramp": Listener(canary_rule(5, **sticky))}
    with Envoy(plain, named=named, dynamic=True, concurrency=2) as envoy:
        began = time.monotonic()
        visit_all()
        # Long enough for some rounds, however slow the machine is at the moment.
        seconds = max(5.0, 12 * (time.monotonic() - began))
        start = time.time() + 1
        rollout = {"start": start, "duration": f"{seconds:.0f}s", "steps": 20, "to": {"canary": 50}}
        envoy.replace({"ramp": Listener(canary_rule(5, **sticky, rollout=rollout))})
        while time.time() < start + seconds + 2:
            visit_all()
        figure(f"{sent} requests in {len(rounds)} rounds: {failed} failed, {back} sent back, "
               f"the canary had {rounds[0]:.1f} % first and {rounds[-1]:.1f} % last")
        assert failed == 0 and back == 0
        assert len(set(rounds)) > 5, "it is a ramp, not a step"
        least, most = bounds(USERS, 0.5)
        assert least <= sum(on_canary) <= most


class Patient:
    """An upstream that can be made ill: it answers its health as a status."""

    def __init__(self) -> None:
        self.status = 200
        self.served = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server: asyncio.Server | None = None
        self.port = 0

    def __enter__(self) -> Patient:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.served += 1
                status = f"HTTP/1.1 {self.status} Status\r\ncontent-length: 6\r\n\r\ncanary"
                writer.write(status.encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


COOLDOWN = 6.0
BREAKER = {
    "window": "2s",
    "min_requests": 20,
    "max_error_rate": 0.5,
    "cooldown": f"{int(COOLDOWN)}s",
}


def burst(port: int, requests: int = 400) -> Counter[tuple[str, int]]:
    """Sends some requests; counts the answers by the upstream that the filter names and status."""

    async def visitor(_: int, send: Callable[..., Any]) -> tuple[str, int]:
        status, fields, _ = await send()
        return fields["x-kong-route-upstream"], status

    return Counter(visit(port, requests, visitor))


def by_upstream(counts: Counter[tuple[str, int]]) -> Counter[str]:
    """The answers by the upstream that they came from."""
    found: Counter[str] = Counter()
    for (upstream, _), count in counts.items():
        found[upstream] += count
    return found


def share_of(counts: Counter[tuple[str, int]], upstream: str) -> float:
    """The percentage of the answers that came from an upstream."""
    return 100 * by_upstream(counts)[upstream] / counts.total()


def check_taken_out(
    envoy: Envoy,
    port: int,
    figure: Callable[[str], None],
    served: Callable[[], int] = lambda: 0,
) -> int:
    """A canary that fails is out after few requests, and stays out until the cooldown is over.

    Returns what the canary had served by then.
    """
    counts = burst(port)
    opened = time.monotonic()
    first = share_of(counts, "canary")
    total: Counter[tuple[str, int]] = Counter()
    until_then = served()
    while time.monotonic() < opened + COOLDOWN / 4:
        some, served_now = burst(port, 50), served()
        # On a slow machine the cooldown may be over first; what is sent then may be a probe.
        if "state=half-open" in envoy.log():
            break
        total += some
        until_then = served_now
    open_share = share_of(total, "canary")
    changes = envoy.stats("tse_route_breaker_changes_total")
    figure(f"{first:.1f} % of 400 requests went to the failing canary, then {open_share:.2f} % of "
           f"{total.total()}; {changes}")
    assert 0 < first < 50
    assert open_share < 1
    assert any(n.endswith("open") and "half" not in n and v for n, v in changes.items()), changes
    return until_then


@pytest.mark.parametrize("shared", [False, True], ids=["worker-memory", "shared-memory"])
def test_a_failing_canary_is_taken_out_and_comes_back(
    shared: bool, figure: Callable[[str], None]
) -> None:
    """Out within its window, back by probing; with shared memory the workers act as one."""
    config = {**canary_rule(50, circuit_breaker=BREAKER), "shared_memory": shared}
    with Patient() as canary:
        canary.status = 500
        upstreams = {"named": ("own", "stable"), "ports": {"canary": canary.port}}
        with Envoy({"gate": Listener(config)}, **upstreams, concurrency=2) as envoy:
            port = envoy.port("gate")
            served = check_taken_out(envoy, port, figure, lambda: canary.served)
            if shared:
                # 20 answers of both workers together, and those on their way meanwhile.
                assert served <= 20 + 2 * CONNECTIONS + CONNECTIONS, served
            canary.status = 200
            counts: Counter[tuple[str, int]] = Counter()

            def recovered() -> bool:
                nonlocal counts
                counts = burst(port, 1_000)
                return not unlikely(by_upstream(counts), {"stable": 0.5, "canary": 0.5})

            envoy.wait_for(recovered, "the canary's share to come back", 90)
            figure(f"recovered: the canary has {share_of(counts, 'canary'):.1f} % of 50 %")
            assert "state=half-open" in envoy.log() and "state=closed" in envoy.log()


def test_a_canary_that_stays_ill_is_only_probed(figure: Callable[[str], None]) -> None:
    """After the cooldown a tenth of the share finds out that nothing has changed."""
    config = canary_rule(50, circuit_breaker=BREAKER)
    with Patient() as canary:
        canary.status = 503
        upstreams = {"named": ("own", "stable"), "ports": {"canary": canary.port}}
        with Envoy({"gate": Listener(config)}, **upstreams, concurrency=1) as envoy:
            port = envoy.port("gate")
            served = check_taken_out(envoy, port, figure, lambda: canary.served)
            probes = lambda: envoy.log().count("state=half-open")  # noqa: E731
            out = lambda: envoy.log().count("state=open") > max(probes(), 1)  # noqa: E731
            envoy.wait_for(lambda: burst(port, 50) and out(), "a probe, and out again", 90)
            figure(f"{canary.served - served} requests probed the canary before it was out again")
            # A slow machine may be late to look, and find that it was probed more than once.
            assert 0 < canary.served - served <= probes() * (2 + CONNECTIONS)


def test_a_canary_whose_port_is_closed_is_taken_out(figure: Callable[[str], None]) -> None:
    """Envoy's own answer to a refused connection counts like any other."""
    reserved = Reservations()
    try:
        config = {**canary_rule(50, circuit_breaker=BREAKER), "shared_memory": True}
        upstreams = {"named": ("own", "stable"), "ports": {"canary": reserved.port()}}
        with Envoy({"gate": Listener(config)}, **upstreams, concurrency=2) as envoy:
            check_taken_out(envoy, envoy.port("gate"), figure)
    finally:
        reserved.close()


def test_a_fallback_takes_the_share() -> None:
    """Another upstream than the rule's may take over."""
    breaker = {**BREAKER, "cooldown": "1h", "fallback": "spare"}
    config = {**canary_rule(50, circuit_breaker=breaker), "shared_memory": True}
    with Patient() as canary:
        canary.status = 500
        upstreams = {"named": ("own", "stable", "spare"), "ports": {"canary": canary.port}}
        with Envoy({"gate": Listener(config)}, **upstreams, concurrency=2) as envoy:
            burst(envoy.port("gate"))
            counts = burst(envoy.port("gate"), 2_000)
            assert not unlikely(by_upstream(counts), {"stable": 0.5, "spare": 0.5})
