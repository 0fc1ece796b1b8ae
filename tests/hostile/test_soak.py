"""The long runs of `make soak`, short."""

from __future__ import annotations

import soak


def test_many_requests() -> None:
    """Everything on, and nothing grows."""
    print(soak.requests(60_000))


def test_many_changes() -> None:
    """Every request is decided by one of the two configurations of its moment."""
    print(soak.changes(30))


def test_blue_green() -> None:
    """Back and forth by the filter's own file: no request is lost, and both sides decide what they should."""
    print(soak.blue_green(40))
