"""The documents are true: README's code prints what it says, names and links lead somewhere."""

from __future__ import annotations

import collections
import contextlib
import functools
import importlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import autodiff

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])

FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
NAME = re.compile(r"\bautodiff((?:\.[A-Za-z_]\w*)+)(?!\w*[/=])")
NOT_NAMES = {"npz", "py", "so", "git", "egg"}
INVENTED = {"softsign"}  # what docs/adding_an_op.md adds

pytestmark = pytest.mark.skipif(not README.exists(), reason="no README next to the tests")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def snippets(text: str) -> Iterator[tuple[str, str | None]]:
    """Python blocks, each with the block of output that follows it at once, if one does."""
    blocks = list(FENCED.finditer(text))
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block[1] != "python":
            continue
        told = None
        if following and not following[1] and not text[block.end() : following.start()].strip():
            told = following[2]
        yield block[2], told


def test_snippets_are_found_with_their_output() -> None:
    text = "```python\na\n```\n\n```\n1\n```\n```python\nb\n```\ntext\n```\n2\n```\n"
    assert list(snippets(text)) == [("a\n", "1\n"), ("b\n", None)]


@pytest.mark.parametrize(
    "document", [README, ROOT / "docs" / "data.md", ROOT / "docs" / "transforms.md"], ids=short
)
def test_a_document_prints_what_it_says(document: Path) -> None:
    found = list(snippets(document.read_text(encoding="utf-8")))
    assert found
    assert all(told is not None for _, told in found)
    namespace: dict[str, Any] = {"__name__": "document"}
    for code, told in found:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(code, document.name, "exec"), namespace)
        assert printed.getvalue() == told


def test_the_document_of_the_data_sets_names_them_all() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    for name in autodiff.data.__all__:
        assert f"`{name}(" in text or f"`{name}`" in text, name


def test_the_first_screen_has_what_a_stranger_asks() -> None:
    """What it is, for whom, what it cannot do, whence it is, how to get it; then a derivative."""
    text = README.read_text(encoding="utf-8")
    first = text[: text.index("```python")]
    for word in ("float64", "For whom", "cannot do", "GPU", "Linux", "2017", "Scala"):
        assert word in first, word
    for command in ("pip install .", "make demo", "make test"):
        assert f"\n{command}" in first, command
    assert len(first.splitlines()) < 45
    assert text.index("x.gradient") < text.index("optimiser.step")
    assert text.index("Implementation notes on my auto differentiation") < text.index("the post")
    assert len(re.findall(r"^!\[", text, re.MULTILINE)) == 1


def test_the_design_says_each_thing_once() -> None:
    """No heading, no name of a paragraph, no row of a table stands there twice."""
    text = FENCED.sub("", (ROOT / "docs" / "design.md").read_text(encoding="utf-8"))
    for kind in (r"^#+ (.+)$", r"^\*\*([^*]+)\*\*", r"^\| *([^|]*\w[^|]*?) *\|"):
        found = collections.Counter(re.findall(kind, text, re.MULTILINE))
        assert len(found) > 1
        assert [title for title, n in found.items() if n > 1] == []


@pytest.mark.skipif(not (ROOT / "CONTRIBUTING.md").exists(), reason="not all documents are here")
@pytest.mark.parametrize("document", DOCUMENTS, ids=short)
def test_links_lead_somewhere(document: Path) -> None:
    text = FENCED.sub("", document.read_text(encoding="utf-8"))
    for link in LINK.findall(text):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def anchors(text: str) -> set[str]:
    """Names of the headings, made as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.skipif(not (ROOT / "CONTRIBUTING.md").exists(), reason="not all documents are here")
def test_what_contributing_breaks_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    broken = re.findall(r"sed -i 's/([^/\n]*)/[^/\n]*/' (\S+)", text)
    assert broken
    for line, path in broken:
        assert line.replace("\\", "") in (ROOT / path).read_text(encoding="utf-8"), path


@pytest.mark.parametrize("document", DOCUMENTS, ids=short)
def test_names_are_those_of_the_package(document: Path) -> None:
    for dotted in NAME.findall(document.read_text(encoding="utf-8")):
        names = dotted.lstrip(".").split(".")
        if names[0] in NOT_NAMES | INVENTED or names[-1] in NOT_NAMES:
            continue
        functools.reduce(member, names, autodiff)


def member(thing: Any, name: str) -> Any:
    """An attribute, which may be a module that has not been imported."""
    if not hasattr(thing, name) and hasattr(thing, "__path__"):
        return importlib.import_module(f"{thing.__name__}.{name}")
    return getattr(thing, name)
