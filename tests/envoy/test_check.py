"""The check that every test of this suite ends with notices what it is there for."""

from __future__ import annotations

from pathlib import Path

import gateway
import pytest
from client import request
from gateway import Envoy, Listener


def trapping_filter() -> bytes:
    """The smallest filter whose request step traps, assembled by hand."""

    def vector(*items: bytes) -> bytes:
        return bytes([len(items)]) + b"".join(items)

    def section(number: int, content: bytes) -> bytes:
        return bytes([number, len(content)]) + content

    def name(text: str) -> bytes:
        return bytes([len(text)]) + text.encode()

    i32, function, unreachable, const, end = b"\x7f", b"\x60", b"\x00", b"\x41", b"\x0b"
    nothing = function + vector() + vector()
    allocate = function + vector(i32) + vector(i32)
    on_headers = function + vector(i32, i32, i32) + vector(i32)
    bodies = [end, const + b"\x00" + end, unreachable + end]
    exports = ["proxy_abi_version_0_2_1", "malloc", "proxy_on_request_headers"]
    return (
        b"\0asm\x01\0\0\0"
        + section(1, vector(nothing, allocate, on_headers))
        + section(3, vector(b"\0", b"\x01", b"\x02"))
        + section(5, vector(b"\0\x01"))
        + section(
            7,
            vector(
                name("memory") + b"\x02\0",
                *(name(export) + bytes([0, index]) for index, export in enumerate(exports)),
            ),
        )
        + section(10, vector(*(bytes([len(body) + 1]) + b"\0" + body for body in bodies)))
    )


@pytest.mark.parametrize("policy", ["FAIL_CLOSED", "FAIL_OPEN", "FAIL_RELOAD"])
def test_a_trap_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, policy: str) -> None:
    """Whatever Envoy makes of it."""
    path = tmp_path / "trap.wasm"
    path.write_bytes(trapping_filter())
    monkeypatch.setattr(gateway, "WASM", path)
    listener = Listener("", plugin={"failure_policy": policy})
    with (
        pytest.raises(AssertionError, match="proxy_on_request_headers"),
        Envoy({"gateway": listener}, named=("own",)) as envoy,
    ):
        envoy.check()  # nothing has happened yet
        assert request(envoy.port("gateway"), "GET", "/").status == 503
