"""What one reading of a list says about itself."""

from collections.abc import Sequence

import pytest

from ecsgateway.passes import Pass, fingerprint
from tests.upstream import groups_of, ids_of, page_of

Told = tuple[Sequence[str], int, Sequence[str]]
"""A page as the tables write it: accounts, total, groups."""


def read(*pages: Told, before: int = 0) -> Pass:
    """A pass over pages of two accounts."""
    this = Pass(before=before)
    for number, (ids, total, groups) in enumerate(pages, 1 + before // 2):
        this.note(page_of(ids, number=number, size=2, total=total, groups=groups))
    return this


QUIET: list[Told] = [(["1", "2"], 5, ["all"]), (["3", "4"], 5, ["all"]), (["5"], 5, ["all"])]


def test_a_pass_over_a_quiet_list_is_clean_and_complete() -> None:
    this = read(*QUIET)

    assert this.clean
    assert this.complete
    assert not this.changed


def test_groups_that_only_the_first_page_tells_are_no_change() -> None:
    assert read((["1", "2"], 3, ["all"]), (["3"], 3, [])).clean


def test_a_pass_that_begins_where_another_stream_ended_counts_what_that_delivered() -> None:
    assert read(*QUIET[1:], before=2).clean


@pytest.mark.parametrize(
    ("pages", "torn"),
    [
        pytest.param([(["1", "2"], 4, []), (["4"], 3, [])], True, id="the total shrinks"),
        pytest.param([(["1", "2"], 3, []), (["3", "4"], 4, [])], True, id="the total grows"),
        pytest.param([(["1", "2"], 4, []), (["2", "3"], 4, [])], False, id="an account comes twice"),
        pytest.param([(["1"], 3, []), (["2", "3"], 3, [])], False, id="a page before another is short"),
        pytest.param([(["1", "2"], 3, []), (["3"], 3, ["all"])], False, id="a group is new"),
    ],
)
def test_pages_that_contradict_each_other_show_a_change(pages: list[Told], torn: bool) -> None:
    this = read(*pages)

    assert this.changed
    assert not this.clean
    assert this.torn is torn


@pytest.mark.parametrize(
    ("pages", "complete"),
    [
        pytest.param([(["1", "2"], 3, []), ([], 3, [])], False, id="fewer than the total"),
        pytest.param([(["1", "2"], 2, []), (["3"], 2, [])], True, id="more than the total"),
    ],
)
def test_a_count_that_is_not_the_total_is_odd_but_shows_no_change(pages: list[Told], complete: bool) -> None:
    this = read(*pages)

    assert not this.clean
    assert not this.changed
    assert this.complete is complete


@pytest.mark.parametrize(
    ("pages", "number", "more"),
    [
        pytest.param(QUIET[:1], 1, True, id="the total announces more"),
        pytest.param(QUIET[:1], 2, True, id="and more still, though page 2 is under way"),
        pytest.param(QUIET, 3, False, id="all have come"),
        pytest.param([([], 0, [])], 1, False, id="the list is empty"),
        pytest.param([([], 5, [])], 1, False, id="a page is empty, whatever the total says"),
        pytest.param(
            [(["1", "2"], 4, []), (["3"], 4, [])], 2, True, id="one is missing behind the last page"
        ),
        pytest.param([(["1", "2"], 4, []), (["3"], 4, [])], 3, False, id="it is under way already"),
        pytest.param([(["1", "2"], 1, [])], 1, True, id="more than the total, and the page is full"),
        pytest.param([(["1", "2"], 2, [])], 1, False, id="as many as the total, and the page is full"),
        pytest.param([(["1", "2"], 6, []), (["3", "4"], 5, [])], 2, False, id="the pass is torn"),
    ],
)
def test_another_page_is_wanted_while_it_can_be_part_of_the_list(
    pages: list[Told], number: int, more: bool
) -> None:
    assert read(*pages).has_after(number) is more


def test_what_came_before_is_taken_off_a_page() -> None:
    this = Pass()
    first = page_of(["1", "2", "1"], size=3, total=5, groups=["all"])
    second = page_of(["2", "3", "4"], number=2, size=3, total=5, groups=["all", "partner"])

    this.note(first)
    this.note(second)

    assert ids_of([first, second]) == ["1", "2", "3", "4"]
    assert groups_of([first, second]) == ["all", "partner"]
    assert this.duplicates == 2


def test_equal_pages_have_equal_digests() -> None:
    assert read(*QUIET).digest == read(*QUIET).digest


@pytest.mark.parametrize(
    "page",
    [
        pytest.param((["2", "1"], 5, ["all"]), id="order"),
        pytest.param((["1", "3"], 5, ["all"]), id="account"),
        pytest.param((["12"], 5, ["all"]), id="the same digits in fewer accounts"),
        pytest.param((["1", "2"], 6, ["all"]), id="total"),
        pytest.param((["1", "2"], 5, []), id="groups"),
    ],
)
def test_a_page_that_differs_has_another_fingerprint(page: Told) -> None:
    ids, total, groups = page
    one, other = page_of(["1", "2"], total=5, groups=["all"]), page_of(ids, total=total, groups=groups)

    assert fingerprint(one) != fingerprint(other)


def test_the_order_of_groups_is_not_in_the_fingerprint() -> None:
    one, other = page_of([], groups=["all", "partner"]), page_of([], groups=["partner", "all"])

    assert fingerprint(one) == fingerprint(other)
