"""The bounds themselves, against the distribution written out."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from chance import ACCIDENT, bounds, unlikely


@pytest.mark.parametrize(("draws", "share"), [(10, 0.5), (100, 0.2), (400, 0.01), (1_000, 0.5)])
@pytest.mark.parametrize("counts", [1, 3])
def test_bounds_are_exact(draws: int, share: float, counts: int) -> None:
    """Outside is at most as likely as is said, and one further in would be more likely."""
    exact = Fraction(share)

    def between(first: int, last: int) -> Fraction:
        return sum(
            (comb(draws, n) * exact**n * (1 - exact) ** (draws - n) for n in range(first, last + 1)),
            Fraction(0),
        )

    least, most = bounds(draws, share, counts)
    assert between(0, least - 1) <= ACCIDENT / counts / 2 < between(0, least)
    assert between(most + 1, draws) <= ACCIDENT / counts / 2 < between(most, draws)


def test_nobody_without_a_share_gets_a_draw() -> None:
    assert bounds(10_000, 0) == (0, 0)
    assert bounds(10_000, 1) == (10_000, 10_000)
    assert unlikely({"a": 999, "b": 1}, {"a": 1.0}).keys() == {"a", "b"}


def test_a_wrong_share_is_noticed() -> None:
    assert not unlikely({"a": 2_050, "b": 7_950}, {"a": 0.2, "b": 0.8})
    assert unlikely({"a": 2_500, "b": 7_500}, {"a": 0.2, "b": 0.8}).keys() == {"a", "b"}
