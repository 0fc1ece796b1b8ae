"""What chance allows: the bounds of every test whose outcome is drawn.

A test that counts draws fails by accident at most once in a million runs. The bounds follow from the
number of draws by the binomial distribution itself, not by an approximation of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, lgamma, log
from typing import Any

ACCIDENT = 1e-6


def bounds(draws: int, share: float, counts: int = 1) -> tuple[int, int]:
    """The least and the most of so many draws that go to a share of 0 to 1.

    A right count lies outside with a probability of at most one in a million, divided by the number of
    `counts` that one test looks at, so that the test as a whole keeps to it.
    """
    if share in (0, 1):
        return round(draws * share), round(draws * share)

    def probability(hits: int) -> float:
        ways = lgamma(draws + 1) - lgamma(hits + 1) - lgamma(draws - hits + 1)
        return exp(ways + hits * log(share) + (draws - hits) * log(1 - share))

    def first_likely(hits: range) -> int:
        tail = 0.0
        for count in hits:
            tail += probability(count)
            if tail > ACCIDENT / counts / 2:
                return count
        raise AssertionError("the probabilities add up to one")

    return first_likely(range(draws + 1)), first_likely(range(draws, -1, -1))


def unlikely(observed: Mapping[Any, int], shares: Mapping[Any, float]) -> dict[Any, str]:
    """The counts that are out of bounds, of all draws together, each with its bounds."""
    draws = sum(observed.values())
    found = {}
    for name in [*shares, *(name for name in observed if name not in shares)]:
        least, most = bounds(draws, shares.get(name, 0), len(shares))
        if not least <= observed.get(name, 0) <= most:
            found[name] = f"{observed.get(name, 0)} of {draws}, and not {least} to {most}"
    return found
