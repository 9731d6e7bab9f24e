"""docs/clients.md shows lines of the examples, and the commands that the interop suite runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "clients.md").read_text()
SOURCES = {
    "python": ["python/list_shares.py"],
    "go": ["go/main.go"],
    "java": ["java/src/main/java/io/ecsgateway/example/ListShares.java"],
    "typescript": ["node/list_shares.ts"],
    "rust": ["rust/src/main.rs"],
    "text": ["interop/expected/not_found.txt"],
}


def blocks(language: str) -> list[list[str]]:
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return [block.splitlines() for block in found]


@pytest.mark.parametrize("language", SOURCES)
def test_a_snippet_consists_of_lines_of_the_example(language: str) -> None:
    sources = [(ROOT / "examples" / name).read_text() for name in SOURCES[language]]
    lines = {line.strip() for source in sources for line in source.splitlines()}
    (snippet,) = blocks(language)
    assert [line for line in snippet if line != "…" and line.strip() not in lines] == []


@pytest.mark.parametrize("language", SOURCES)
def test_a_snippet_has_at_most_twelve_lines(language: str) -> None:
    (snippet,) = blocks(language)
    assert len(snippet) <= 12


def test_every_example_has_a_snippet() -> None:
    examples = {path.parent.name for path in (ROOT / "examples").glob("*/README.md")}
    assert examples == {name.partition("/")[0] for names in SOURCES.values() for name in names} - {"interop"}
    assert all(f"(../examples/{name})" in PAGE for name in examples)
