"""The pages lead where they say: relative links and their anchors, the book's contents, the README's size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import documents

BOOK = documents.ROOT / "docs" / "src"
PAGES = documents.markdown()
# What an operator reads at the door: more than this is a manual.
LONGEST_README = 10_000


def prose(path: Path) -> str:
    """A page without its code blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", path.read_text(), flags=re.M | re.S)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mdBook make them."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def links(path: Path) -> list[str]:
    """The targets of a page's links, but for those that lead out of the repository."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(path)))
    return [target for target in found if not re.match(r"\w+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(documents.ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), f"{target} does not exist"
        assert found.is_relative_to(documents.ROOT), f"{target} leaves the repository"
        assert not anchor or anchor in anchors(found), f"{target}: no such heading"
        # mdBook takes every link to a page for one to a page of the book.
        outside = page.is_relative_to(BOOK) and not found.is_relative_to(BOOK)
        assert not (outside and found.suffix == ".md"), f"{target}: link to its folder, for the book"


def test_some_links_were_found() -> None:
    assert sum(len(links(page)) for page in PAGES) > 100


def test_the_book_lists_its_pages() -> None:
    listed = [(BOOK / target).resolve() for target in links(BOOK / "SUMMARY.md")]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(BOOK.glob("**/*.md")) - {BOOK / "SUMMARY.md"}


def test_the_readme_is_a_door() -> None:
    assert len((documents.ROOT / "README.md").read_bytes()) <= LONGEST_README


def test_every_target_is_described() -> None:
    page = (BOOK / "contribute.md").read_text()
    targets = re.findall(r"^([a-z-]+):.*?## ", (documents.ROOT / "Makefile").read_text(), re.M)
    assert len(targets) > 10
    for target in targets:
        assert re.search(rf"`(make )?{target}`", page), f"make {target}"
