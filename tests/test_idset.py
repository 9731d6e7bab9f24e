"""The compact set of ids is a set."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecsgateway.idset import IdSet
from fakeecs.demo import made_up_accounts

ids = st.one_of(
    st.integers(0, 40).map(str),
    st.integers(0, 2**70).map(str),
    st.sampled_from(
        ["", "0", "00", "01", "1", "\u0661", "²", "-1", "1.0", "x", str(2**64 - 1), str(2**64), "9" * 19]
    ),
    st.text(max_size=3),
)


@given(st.lists(ids, max_size=200))
def test_it_tells_of_each_id_whether_it_is_new_as_a_set_of_text_does(added: list[str]) -> None:
    compact, plain = IdSet(), set[str]()
    for each in added:
        assert compact.add(each) is (each not in plain)
        plain.add(each)

    assert len(compact) == len(plain)


@pytest.mark.parametrize(
    "many",
    [
        pytest.param([str(number) for number in range(20_000)], id="counted"),
        pytest.param(
            [str(number << 40) for number in range(1, 20_000)], id="different in the high bits only"
        ),
        pytest.param([account.aliyun_id for account in made_up_accounts(20_000)], id="account ids"),
    ],
)
def test_it_holds_many(many: list[str]) -> None:
    compact = IdSet()

    assert all(compact.add(each) for each in many)
    assert not any(compact.add(each) for each in many)
    assert len(compact) == len(many)
