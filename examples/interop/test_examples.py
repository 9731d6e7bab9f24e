"""Every example in every scenario: the same output, line for line."""

import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest

from examples.interop.stage import PATIENCE, ROOT, Stage, need

TOOLCHAINS = {
    "python": ("make", "python3"),
    "go": ("go",),
    "java": ("java", "javac", "mvn"),
    "node": ("node", "npm"),
    "rust": ("cargo",),
}
BUILD_PATIENCE = 1200.0
UNKNOWN = "m-unknown"
RESTART = "restart LISTING_CHANGED: the lines above are void\n"
BROKEN = (
    r"resume UNAVAILABLE UPSTREAM_UNAVAILABLE ECS, or a proxy before it, is out of service"
    r" \(ServiceUnavailable\); retry in \d+ ms\n"
)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is asked for, what goes wrong, and what the program must make of it.

    Attributes:
        image: in cn-hangzhou.
        faults: the trouble of the fake, see `fakeecs.trouble.Fault`.
        pause: so many lines are awaited before the next two.
        interrupt: whether the program is interrupted then.
        change: whether the list loses its first account then.
        kill: whether the gateway is killed then, and started again.
        status: the program's exit status.
        pages: of the summary; 0 if there is none, then the output is a beginning of the list.
        notes: the pattern of all of standard error.
        asked: the pages that the fake is asked for and the HTTP statuses that it answers; a None for
            an answer that the gateway did not wait for.
        seconds: the longest that the program may take.
    """

    image: str
    options: Sequence[str] = ()
    faults: Sequence[dict[str, Any]] = ()
    pause: int = 0
    interrupt: bool = False
    change: bool = False
    kill: bool = False
    status: int = 0
    pages: int = 0
    consistency: str = "CONSISTENCY_NO_CHANGE_SEEN"
    notes: str = ""
    asked: Sequence[tuple[int, int | None]] | None = None
    seconds: float = field(default=PATIENCE)


SCENARIOS = {
    "2,345 accounts": Scenario(
        image="m-demo-2345", pages=24, asked=[(number, 200) for number in range(1, 25)]
    ),
    "empty image": Scenario(
        image="m-demo-empty", pages=1, consistency="CONSISTENCY_SINGLE_PAGE", asked=[(1, 200)]
    ),
    "group only": Scenario(
        image="m-demo-group", pages=1, consistency="CONSISTENCY_SINGLE_PAGE", asked=[(1, 200)]
    ),
    "unknown image": Scenario(
        image=UNKNOWN,
        status=1,
        notes=r"error NOT_FOUND IMAGE_NOT_FOUND the gateway's account has no image m-unknown in cn-hangzhou"
        r" \(InvalidImageId\.NotFound\)\n",
        asked=[(1, 404)],
    ),
    "bad request": Scenario(
        image="m-demo-11",
        options=["--page-size", "101"],
        status=1,
        notes=r"error INVALID_ARGUMENT INVALID_REQUEST .*; page_size: must be .* less than or equal to 100\n",
        asked=[],
    ),
    "throttled, retried": Scenario(  # three times: the gateway's own attempts are spent, the caller's begin
        image="m-demo-11",
        faults=[{"code": "Throttling", "retry_after_ms": 200, "times": 3}],
        pages=1,
        consistency="CONSISTENCY_SINGLE_PAGE",
        asked=[(1, 400), (1, 400), (1, 400), (1, 200)],
    ),
    "broken at page 3, resumed": Scenario(
        image="m-demo-2345",
        faults=[{"page": 3, "code": "ServiceUnavailable", "times": 3}],
        pages=24,
        notes=BROKEN,
    ),
    "gateway killed, resumed": Scenario(
        image="m-demo-45",
        options=["--page-size", "10"],
        faults=[{"page": 3, "latency": 2.0}],
        pause=20,
        kill=True,
        pages=5,
        notes=r"(resume (UNAVAILABLE|UNKNOWN) - .*\n)+",
    ),
    "changed meanwhile, read again": Scenario(
        image="m-demo-45",
        options=["--page-size", "10"],
        faults=[{"page": 3, "code": "ServiceUnavailable", "times": 3, "latency": 0.5}],
        pause=20,
        change=True,
        pages=5,
        notes=BROKEN,
    ),
    "deadline 50 ms, upstream 5 s": Scenario(
        image="m-demo-11",
        options=["--timeout", "0.05"],
        faults=[{"latency": 5.0}],
        status=1,
        notes=r"error DEADLINE_EXCEEDED (-|DEADLINE_EXCEEDED) .*\n",
        seconds=4.0,  # whether the gateway hears of the call in time is left to chance
    ),
    "deadline 1 s, upstream 5 s": Scenario(
        image="m-demo-11",
        options=["--timeout", "1"],
        faults=[{"latency": 5.0}],
        status=1,
        notes=r"error DEADLINE_EXCEEDED (-|DEADLINE_EXCEEDED) .*\n",
        asked=[(1, None)],
        seconds=4.0,
    ),
    "cancelled in the middle": Scenario(
        image="m-demo-45",
        options=["--page-size", "10"],
        faults=[{"page": 3, "latency": 60.0}],
        pause=20,
        interrupt=True,
        status=130,
        notes=r"error CANCELLED - interrupted\n",
    ),
}


@dataclass(frozen=True)
class Program:
    """An example, built."""

    language: str
    command: str

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start it, in its folder, where no shell stands between it and a signal."""
        return subprocess.Popen(
            [*self.command.split(), *arguments],
            cwd=ROOT / "examples" / self.language,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture(scope="session", params=TOOLCHAINS)
def program(request: pytest.FixtureRequest, build_times: dict[str, float]) -> Program:
    """Build an example as its README says."""
    language: str = request.param
    need(*TOOLCHAINS[language])
    folder = ROOT / "examples" / language
    build, run = re.findall(r"^    (.+)$", (folder / "README.md").read_text(), re.MULTILINE)
    started = time.monotonic()
    built = subprocess.run(
        f"nice -n 10 sh -c '{build}'",
        shell=True,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=BUILD_PATIENCE,
        check=False,
    )
    build_times[language] = time.monotonic() - started
    assert built.returncode == 0, built.stdout
    return Program(language, run.partition(" --target")[0])


@pytest.fixture(params=SCENARIOS.values(), ids=list(SCENARIOS))
def scenario(request: pytest.FixtureRequest, stage: Stage) -> Iterator[Scenario]:
    """Set the trouble of a scenario up."""
    chosen: Scenario = request.param
    for fault in chosen.faults:
        stage.add_fault(image=chosen.image, **fault)
    with stage.image_kept(chosen.image) if chosen.change else nullcontext():
        yield chosen


@pytest.mark.matrix
def test_example(program: Program, scenario: Scenario, stage: Stage) -> None:
    """What it prints, how it ends, and what the upstream saw."""
    arguments = ["--target", stage.target, "--region", "cn-hangzhou", "--image", scenario.image]
    expected = whole_output(stage, scenario)
    started = time.monotonic()
    with program.start(*arguments, *scenario.options) as process:
        assert process.stdout
        begun = [process.stdout.readline() for _ in range(scenario.pause)]
        if scenario.interrupt:
            process.send_signal(signal.SIGINT)
        if scenario.change:
            stage.remove_first_account(scenario.image)
        if scenario.kill:
            stage.gateway.kill()
            stage.start_gateway()
        try:
            rest, notes = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    elapsed = time.monotonic() - started

    lines = [*begun, *rest.splitlines(keepends=True)]
    assert re.fullmatch(scenario.notes, notes), notes
    assert process.returncode == scenario.status
    if scenario.change:
        assert lines == [*expected[: scenario.pause], RESTART, *whole_output(stage, scenario)]
    else:
        assert lines == (expected if scenario.pages else expected[: scenario.pause])
    assert elapsed < scenario.seconds
    over = stage.eventually(lambda entries: all(entry["ended"] is not None for entry in entries))
    if scenario.asked is not None:
        assert answers(over) == list(scenario.asked)
    if scenario.status:
        hanging = [entry for entry in over if any(hangs(fault, entry) for fault in scenario.faults)]
        assert all(entry["aborted"] for entry in hanging)
        assert hanging or not scenario.interrupt


def hangs(fault: dict[str, Any], entry: Any) -> bool:
    """Whether a request met a fault that makes it hang."""
    return "latency" in fault and fault.get("page") in (None, entry["page_number"])


def whole_output(stage: Stage, scenario: Scenario) -> list[str]:
    """What a program prints of an image that is read to the end."""
    if scenario.image == UNKNOWN:
        return []
    image = stage.image(scenario.image)
    accounts = image["accounts"]
    return [
        *(f"group {group}\n" for group in image["groups"]),
        *(f"account {account['aliyun_id']} {account['shared_time']}\n" for account in accounts),
        f"summary pages={scenario.pages} accounts={len(accounts)} duplicates=0"
        f" consistency={scenario.consistency}\n",
    ]


def answers(journal: list[Any]) -> list[tuple[int, int | None]]:
    """Which page was asked for, and what was answered; pages that were fetched together in their order."""
    return sorted(
        ((entry["page_number"], None if entry["aborted"] else entry["status"]) for entry in journal),
        key=lambda each: each[0],
    )
