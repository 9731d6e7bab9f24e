"""Data to start with: the images of both documents' examples, and some of awkward sizes."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from fakeecs.data import Account, Data, Image, Key

_FIRST_ID = 1_000_000_000_000_007
_STEP = 6_364_136_223_847  # coprime to the range, so that no id repeats
_RANGE = 8_000_000_000_000_000  # ids stay below 2^53: exact even where a client reads them as floats
_FIRST_TIME = datetime(2023, 1, 1, tzinfo=UTC)

SIZES = (45, 2345, 10_000)


def demo_data() -> Data:
    """Made anew at each call, always the same: two regions and the keys of the documents' examples."""
    return Data(
        {
            "cn-hangzhou": [
                Image("m-bp1caf3yicx5jlfl****", [Account("1234567890", "2023-01-01T12:05:00Z")], ["all"]),
                *(Image(f"m-demo-{size}", made_up_accounts(size)) for size in SIZES),
                Image("m-demo-empty"),
                Image("m-demo-group", groups=["all"]),
                Image("m-demo-11", made_up_accounts(11), ["all"]),
            ],
            "cn-qingdao": [Image("m-282dzntc7", [Account("1886508529898586")], ["all"])],
        },
        demo_keys(),
    )


def demo_keys() -> dict[str, Key]:
    """A permanent key and a temporary one."""
    return {"testid": Key("testsecret"), "STS.testid": Key("testsecret", "testtoken")}


def made_up_accounts(count: int) -> list[Account]:
    """Distinct 16-digit ids, each shared a minute after the one before."""
    return list(_made_up(count))


@lru_cache(maxsize=8)
def _made_up(count: int) -> tuple[Account, ...]:
    return tuple(
        Account(
            str(_FIRST_ID + number * _STEP % _RANGE),
            (_FIRST_TIME + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        )
        for number in range(count)
    )
