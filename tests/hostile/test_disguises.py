"""Ways to get the internal header past the guard in front of the filter, and requests that are out of size.

Each is sent to a path that the gateway forbids and to one that it allows: the first stays forbidden, and
the second is answered by the service's own upstream, which sees nothing of the header.
"""

from __future__ import annotations

from collections.abc import Iterator

import http2
import pytest
from client import Connection, Headers, Response, chunk, head, request
from gateway import HEADER, Envoy
from test_guards import listener
from upstreams import Echo, echoed

EVIL = (HEADER, "evil")
UNDERSCORES = HEADER.replace("-", "_")
UPGRADE: Headers = [("connection", "upgrade"), ("upgrade", "websocket"), EVIL]

# Over HTTP/1, with what is answered on an allowed path: the own upstream, or Envoy itself in refusing.
DISGUISES: dict[str, tuple[Headers, set[int]]] = {
    "mixed case": ([("X-Tse-Route-UPSTREAM", "evil")], {200}),
    "three copies": ([EVIL, (HEADER.upper(), "canary"), EVIL], {200}),
    "blanks around the value": ([(HEADER, "  evil\t")], {200}),
    "no blank before the value": ([(HEADER, b"evil, own")], {200}),
    "a blank before the colon": ([(HEADER + " ", "evil")], {400}),
    "a blank before the name": ([("a", "b"), (" " + HEADER, "evil")], {200, 400}),
    "a line that is folded": ([("a", b"b\r\n " + HEADER.encode() + b": evil")], {200, 400}),
    "a bare line feed": ([("a", b"b\n" + HEADER.encode() + b": evil")], {200, 400}),
    "a bare carriage return": ([("a", b"b\r" + HEADER.encode() + b": evil")], {200, 400}),
    "a zero in the name": ([(HEADER.encode() + b"\0", "evil")], {400}),
    "named by connection": ([("connection", HEADER), EVIL], {200}),
    "named by connection, close": ([("connection", f"close, {HEADER}"), EVIL], {200}),
    "an upgrade": (UPGRADE, {200, 403}),
    "te and trailer": ([("te", "trailers"), ("trailer", HEADER), EVIL], {200}),
    "a method in a header": ([("x-http-method-override", "GET"), EVIL], {200}),
    "a path in a header": ([("x-original-url", "/admin"), ("x-rewrite-url", "/admin"), EVIL], {200}),
    "Envoy's own headers": (
        [("x-envoy-original-path", "/admin"), ("x-envoy-internal", "true"), EVIL],
        {200},
    ),
}

TARGETS = {
    "8 KB of path": ("/" + "a" * 8_191, {200}),
    "many parameters": ("/?" + "&".join(f"{HEADER}=evil{n}" for n in range(400)), {200}),
    "an absolute target": ("http://example.test/?a=b", {200}),
    "a fragment": ("/x#/admin", {200, 400}),
    "dots that are escaped": ("/x/%2e%2e/y", {200}),
}

SIZES: dict[str, Headers] = {
    "a cookie of 32 KB": [("cookie", "a=" + "b" * 32_768)],
    "a thousand pairs in a cookie": [("cookie", "; ".join(f"a{n}=b" for n in range(1_000)))],
    "many cookies": [("cookie", f"a{n}=b") for n in range(60)],
    "semicolons": [("cookie", ";" * 16_384)],
    "ninety headers": [(f"x-{n}", "y") for n in range(90)],
}


@pytest.fixture(scope="module")
def envoy() -> Iterator[Envoy]:
    """A gateway as in the examples, in which `/admin` is nobody's."""
    with Echo(["own", "canary", "evil"]) as echo, Envoy({"gate": listener(True)}, ports=echo.ports) as envoy:
        yield envoy


def check_own(answer: Response) -> None:
    """It went where it belongs, and the header stayed behind."""
    received = echoed(answer)
    assert received.upstream == "own"
    assert received.all(HEADER) == []


@pytest.mark.parametrize("way", DISGUISES)
def test_disguised(envoy: Envoy, way: str) -> None:
    """Neither is a guard passed nor an upstream chosen."""
    headers, allowed = DISGUISES[way]
    refused = request(envoy.port("gate"), "GET", "/admin", headers)
    assert refused.status in {403} | (allowed - {200}), refused
    answer = request(envoy.port("gate"), "GET", "/", headers)
    assert answer.status in allowed, answer
    if answer.status == 200:
        check_own(answer)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "TRACE", "PURGE", "get"])
def test_every_method(envoy: Envoy, method: str) -> None:
    """The guard asks for no method."""
    assert request(envoy.port("gate"), method, "/admin", [EVIL]).status in {400, 403}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_versions_of_http1(envoy: Envoy, version: str) -> None:
    """HTTP/1.0 is refused by Envoy before anything else."""
    answer = request(envoy.port("gate"), "GET", "/admin", [EVIL], version=version)
    assert answer.status == (426 if version == "1.0" else 403)


def test_another_name_with_underscores_is_another_header(envoy: Envoy) -> None:
    """To Envoy it is an ordinary one: it chooses nothing, and goes on as it came."""
    assert request(envoy.port("gate"), "GET", "/admin", [(UNDERSCORES, "evil")]).status == 403
    answer = echoed(request(envoy.port("gate"), "GET", "/", [(UNDERSCORES, "evil")]))
    assert (answer.upstream, answer.all(UNDERSCORES)) == ("own", ["evil"])


@pytest.mark.parametrize("path", ["/admin", "/"])
def test_in_the_trailers(envoy: Envoy, path: str) -> None:
    """Trailers come when the route is long picked."""
    trailer = f"{HEADER}: evil\r\n".encode()
    fields = [("transfer-encoding", "chunked"), ("trailer", HEADER)]
    body = chunk(b"x") + b"0\r\n" + trailer + b"\r\n"
    with Connection(envoy.port("gate")) as connection:
        connection.send(head("POST", path, fields) + body)
        answer = connection.receive()
    if path == "/admin":
        assert answer.status == 403
    else:
        check_own(answer)


@pytest.mark.parametrize("way", TARGETS)
def test_targets(envoy: Envoy, way: str) -> None:
    """Whatever the target looks like."""
    target, allowed = TARGETS[way]
    answer = request(envoy.port("gate"), "GET", target, [EVIL])
    assert answer.status in allowed, answer
    if answer.status == 200:
        check_own(answer)


@pytest.mark.parametrize("way", SIZES)
def test_sizes(envoy: Envoy, way: str) -> None:
    """Much of everything, with the header last."""
    check_own(request(envoy.port("gate"), "GET", "/", [*SIZES[way], EVIL]))


HTTP2: dict[str, list[tuple[str, str]]] = {
    "three copies": [EVIL, (HEADER, "canary"), EVIL],
    "with underscores": [(UNDERSCORES, "evil")],
    "te": [("te", "trailers"), EVIL],
    "a cookie in pieces": [("cookie", f"a{n}=b") for n in range(60)] + [EVIL],
    "as a priority": [("priority", "u=0"), EVIL],
}
PSEUDO = [(":method", "POST"), (":scheme", "http"), (":authority", "a.test")]


@pytest.mark.parametrize("way", HTTP2)
def test_over_http2(envoy: Envoy, way: str) -> None:
    """As over HTTP/1, with the header in the trailers besides."""
    for path in ("/admin", "/"):
        with http2.Connection(envoy.port("gate")) as connection:
            fields = [*PSEUDO, (":path", path), *HTTP2[way]]
            answer = connection.request(fields, [b"x"], trailers=[EVIL])
        if path == "/admin":
            assert b"RBAC: access denied" in answer.body
        else:
            check_own(Response(answer.status, (), answer.body))


@pytest.mark.parametrize("name", [HEADER.upper(), HEADER + " ", HEADER + "\r\nx"])
def test_names_that_http2_does_not_allow(envoy: Envoy, name: str) -> None:
    """The stream or the connection ends."""
    with http2.Connection(envoy.port("gate")) as connection, pytest.raises(ConnectionError):
        connection.request([*PSEUDO, (":path", "/admin"), (name, "evil")])
