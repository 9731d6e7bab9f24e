"""One stage for all tests; the matrix at the end."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.interop.stage import TOOLS, Stage, need, running_stage

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4"

_TIMES = pytest.StashKey[dict[str, float]]()
_CELLS = pytest.StashKey[dict[str, dict[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.stash[_TIMES] = {}
    config.stash[_CELLS] = {}
    config.addinivalue_line("markers", "matrix: a cell of the matrix language x scenario")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A gateway and its upstream, for all tests."""
    with running_stage(tmp_path_factory.mktemp("logs")) as stage:
        yield stage


@pytest.fixture
def stage(running: Stage) -> Stage:
    """The same without the trouble and the journal of the test before."""
    running.reset()
    return running


@pytest.fixture(scope="session")
def build_times(pytestconfig: pytest.Config) -> dict[str, float]:
    """Seconds by language, for the summary."""
    return pytestconfig.stash[_TIMES]


@pytest.fixture(scope="session")
def grpcurl_program() -> Path:
    """Build grpcurl."""
    need("go")
    subprocess.run(
        ["nice", "-n", "10", "go", "install", GRPCURL],
        env={**os.environ, "GOBIN": str(TOOLS)},
        check=True,
        timeout=900,
    )
    return TOOLS / "grpcurl"


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the matrix's cells in their order."""
    cells = session.config.stash[_CELLS]
    for item in session.items:
        if "matrix" in item.keywords:
            language, scenario = _cell(item.nodeid)
            cells.setdefault(scenario, {})[language] = "-"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the matrix."""
    cells = config.stash[_CELLS]
    if not cells:
        return
    for outcome, mark in (("passed", "ok"), ("skipped", "skip"), ("failed", "FAIL"), ("error", "FAIL")):
        for report in terminalreporter.stats.get(outcome, ()):
            if "matrix" in report.keywords:
                language, scenario = _cell(report.nodeid)
                cells[scenario][language] = mark
    languages = list(dict.fromkeys(language for row in cells.values() for language in row))
    terminalreporter.section("interop")
    terminalreporter.line(f"{'':30}" + "".join(f"{language:>8}" for language in languages))
    for scenario, row in cells.items():
        terminalreporter.line(f"{scenario:30}" + "".join(f"{row.get(each, '-'):>8}" for each in languages))
    times = config.stash[_TIMES]
    spent = "".join(f"{times[each]:>8.0f}" if each in times else f"{'-':>8}" for each in languages)
    terminalreporter.line(f"{'seconds to build':30}{spent}")


def _cell(nodeid: str) -> tuple[str, str]:
    """The language and the scenario of a test."""
    language, _, scenario = nodeid.partition("[")[2].removesuffix("]").partition("-")
    return language, scenario
