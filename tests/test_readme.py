"""What the README says is true: its tables, its links, its commands."""

import asyncio
import os
import re
import shlex
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.conftest import Running
from tools.readme import README, with_tables

ROOT = README.parent
TEXT = README.read_text()
SHELL = "".join(re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)).replace("\\\n", "")
COMMANDS = [line.partition("#")[0].strip() for line in SHELL.splitlines() if line.strip()]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_tables_are_those_of_the_code() -> None:
    assert with_tables(TEXT) == TEXT, "run: .venv/bin/python tools/readme.py"


def test_the_error_table_has_every_reason() -> None:
    from ecsgateway.mapping import Reason

    assert all(f"`{reason}`" in TEXT for reason in Reason)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_make_has_the_targets_that_the_readme_names() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert named == {"run", "test"}
    for target in named:
        assert f"\n{target}: " in makefile


LISTS = [command for command in COMMANDS if command.startswith(".venv/bin/ecsgateway list")]


@pytest.mark.parametrize("command", LISTS)
async def test_a_list_command_of_the_readme_lists(running: Running, command: str) -> None:
    program, *arguments = shlex.split(command)
    process = await asyncio.create_subprocess_exec(
        ROOT / program, *arguments, "--target", running.gateway.address, stdout=PIPE, env=dict(os.environ)
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert len(out.splitlines()) > 10


def test_there_are_list_commands() -> None:
    assert len(LISTS) == 2


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    known = ("make ", ".venv/bin/ecsgateway list", ".venv/bin/fakeecs --listen", "grpcurl ")
    others = [command for command in COMMANDS if not command.startswith(known)]
    assert [command.partition(".venv/bin/")[2] for command in others] == [
        "ecsgateway serve",
        "ecsgateway serve --endpoint http://127.0.0.1:8085",
    ]
