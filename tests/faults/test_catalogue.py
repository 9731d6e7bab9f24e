"""Where each fault of the catalogue is tested, and which are not tested here: nothing is left out unseen."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def numbered(letter: str, *numbers: int | range) -> list[str]:
    flat = [each for number in numbers for each in ([number] if isinstance(number, int) else number)]
    return [f"{letter}{number}" for number in flat]


PLACES = {
    "faults/test_transport.py": numbered("U", range(1, 10), range(11, 18), 19, range(21, 25), 27, 29, 30),
    "ecs/test_transport.py": ["U25", "U26", "U28"],
    "faults/test_content.py": [
        *numbered("C", range(1, 5), 6, 8, range(10, 17), range(18, 21)),
        *("P1", "P10", "K15"),
    ],
    "faults/test_paging.py": numbered("P", range(2, 6), 7, 9, range(12, 17)),
    "faults/test_credentials.py": numbered("K", 1, 2, range(4, 11)),
    "faults/test_amplification.py": ["K11"],
    "rpc/test_status_rows.py": ["K12", "K13", "K14"],
    "ecs/test_client.py": ["K3", "S9"],
    "faults/test_callers.py": numbered("G", range(1, 8), range(9, 13), range(14, 22), 24, 30, 31),
    "faults/test_vanished.py": ["G8"],
    "faults/test_floods.py": ["G22", "G25"],
    "faults/test_process.py": ["S5", "S13"],
    "rpc/test_telemetry.py": ["S8"],
}
"""The file that names the fault in a test's name, in a case's id or in its docstring."""

ELSEWHERE = {
    "S1": "test_stop.py",
    "S2": "test_stop.py",
    "S3": "test_stop.py",
    "S11": "test_cli.py",
    "S14": "test_cli.py",
}
"""Tested, under names that do not hold the number."""

LEFT = {
    "U31": "HTTP/2 to the upstream is never offered",
    "G26": "callers' certificates",
    "G27": "callers' tokens",
    "G28": "what a caller may see",
    "G29": "who may use reflection",
    "G32": "the clients resume by themselves: examples and `ecsgateway list`",
    "S4": "several workers on one port",
    "S7": "a cap on memory is the container's; the bounds that keep below it are in test_process.py",
    "S10": "several workers on one port",
}
"""What the tests of other subjects show, or what cannot happen."""


def test_every_fault_of_the_catalogue_has_a_place() -> None:
    placed = [number for numbers in PLACES.values() for number in numbers]
    placed += [*ELSEWHERE, *LEFT]
    assert len(placed) == len(set(placed)) == 114


@pytest.mark.parametrize(
    ("file", "number"), [(file, number) for file, numbers in PLACES.items() for number in numbers]
)
def test_the_file_of_a_fault_names_it(file: str, number: str) -> None:
    text = (TESTS / file).read_text()
    named = rf"(?<![A-Za-z0-9]){number}(?![0-9])|_{number.lower()}_"
    assert re.search(named, text) or within_a_range(number, text)


def within_a_range(number: str, text: str) -> bool:
    """Whether a docstring tells the fault as part of a range, as in "K12 to K14"."""
    ranges = re.findall(rf"{number[0]}(\d+) to {number[0]}(\d+)", text)
    return any(int(first) <= int(number[1:]) <= int(last) for first, last in ranges)


@pytest.mark.parametrize("file", sorted(set(ELSEWHERE.values())))
def test_the_files_elsewhere_exist(file: str) -> None:
    assert (TESTS / file).exists()
