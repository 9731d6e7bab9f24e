"""Where keys come from: one reading at a time, never half a snapshot, nobody waits without need."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecsgateway.ecs.credentials import Credentials, CredentialsMissing, CredentialSource


def keys(number: int) -> Credentials:
    return Credentials(access_key_id=f"id-{number}", access_key_secret=f"secret-{number}")


class Provider:
    """Hands out numbered snapshots; `gate` holds it, `error` fails it."""

    def __init__(self) -> None:
        self.loads = 0
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def __call__(self) -> Credentials:
        self.loads += 1
        number = self.loads
        self.gate.wait(10)
        if self.error:
            raise self.error
        return keys(number)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.gate.set()


async def settled(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(2):
        while not true():  # noqa: ASYNC110 - what is waited for happens in a thread
            await asyncio.sleep(0.001)


async def test_k8_a_hundred_who_wait_cost_one_reading(provider: Provider) -> None:
    source = CredentialSource(provider)
    provider.gate.clear()
    waiting = [asyncio.create_task(source.get()) for _ in range(100)]
    await settled(lambda: provider.loads == 1)
    provider.gate.set()
    assert set(await asyncio.gather(*waiting)) == {keys(1)}
    assert provider.loads == 1


async def test_k8_the_first_who_leaves_does_not_take_the_reading_along(provider: Provider) -> None:
    source = CredentialSource(provider)
    provider.gate.clear()
    first, *others = [asyncio.create_task(source.get()) for _ in range(10)]
    await settled(lambda: provider.loads == 1)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    provider.gate.set()
    assert set(await asyncio.gather(*others)) == {keys(1)}
    assert provider.loads == 1


async def test_k8_a_hundred_who_were_refused_cost_one_reading(provider: Provider) -> None:
    source = CredentialSource(provider)
    refused = await source.get()
    replaced = await asyncio.gather(*(source.replace(refused) for _ in range(100)))
    assert set(replaced) == {keys(2)}
    assert provider.loads == 2


async def test_who_was_refused_with_an_old_snapshot_gets_the_current_one(provider: Provider) -> None:
    source = CredentialSource(provider)
    await source.get()
    assert await source.replace(keys(7)) == keys(1)
    assert provider.loads == 1


async def test_the_same_snapshot_again_is_no_replacement() -> None:
    source = CredentialSource(lambda: keys(1))
    assert await source.replace(await source.get()) is None


async def test_k7_an_old_snapshot_serves_while_a_new_one_is_read(provider: Provider) -> None:
    clock = Clock()
    source = CredentialSource(provider, refresh_after=60, clock=clock)
    await source.get()
    provider.gate.clear()
    clock.now = 61

    before = time.monotonic()
    assert [await source.get() for _ in range(10)] == [keys(1)] * 10
    assert time.monotonic() - before < 0.05

    provider.gate.set()
    await settled(lambda: provider.loads == 2)
    async with asyncio.timeout(2):
        while await source.get() == keys(1):  # noqa: ASYNC110 - a thread ends it
            await asyncio.sleep(0.001)
    assert provider.loads == 2


async def test_k7_a_provider_that_blocks_never_blocks_the_loop(provider: Provider) -> None:
    source = CredentialSource(provider)
    provider.gate.clear()
    waiting = asyncio.create_task(source.get())
    longest = 0.0
    for _ in range(40):
        before = time.monotonic()
        await asyncio.sleep(0.005)
        longest = max(longest, time.monotonic() - before - 0.005)
    provider.gate.set()
    await waiting
    assert longest < 0.05


async def test_k7_after_a_failure_the_old_snapshot_serves_on_and_the_next_interval_tries_again(
    provider: Provider,
) -> None:
    clock = Clock()
    source = CredentialSource(provider, refresh_after=60, clock=clock)
    await source.get()
    provider.error, clock.now = OSError("the metadata service is down"), 61
    await source.get()
    await settled(lambda: provider.loads == 2)
    await asyncio.sleep(0.01)

    assert [await source.get() for _ in range(3)] == [keys(1)] * 3
    assert provider.loads == 2
    clock.now = 122
    await source.get()
    await settled(lambda: provider.loads == 3)


async def test_a_failure_without_any_snapshot_is_told_without_the_providers_text(provider: Provider) -> None:
    provider.error = ValueError("AccessKeySecret=canary")
    source = CredentialSource(provider)
    with pytest.raises(CredentialsMissing) as raised:
        await source.get()
    assert "canary" not in str(raised.value)


async def test_k6_a_snapshot_is_never_half_of_one_and_half_of_another() -> None:
    numbers = iter(range(10**9))
    source = CredentialSource(lambda: keys(next(numbers)), refresh_after=0.0)
    seen = set()
    for _ in range(300):
        snapshot = await source.get()
        assert snapshot.access_key_id.removeprefix("id-") == snapshot.access_key_secret.removeprefix(
            "secret-"
        )
        seen.add(snapshot.access_key_id)
        await asyncio.sleep(0)
    assert len(seen) > 3


def test_secrets_stay_out_of_every_text() -> None:
    secret = Credentials(access_key_id="id", access_key_secret="canary-1", security_token="canary-2")
    assert "canary" not in f"{secret!r} {secret} {[secret]}"


CHAIN = """
import sys
from pathlib import Path
from ecsgateway.ecs.credentials import DefaultChain
file = Path(sys.argv[1])
chain = DefaultChain(files=(file,))
for number in range(3):
    form = "[default]\\ntype = access_key\\naccess_key_id = id-{0}\\naccess_key_secret = secret-{0}\\n"
    fresh = file.with_suffix(".new")
    fresh.write_text(form.format(number))
    fresh.rename(file)
    found = chain()
    print(found.access_key_id, found.access_key_secret)
"""


def test_k6_a_credentials_file_that_is_replaced_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "credentials.ini"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "ALIBABA_CLOUD_CREDENTIALS_FILE": str(file),
        "ALIBABA_CLOUD_ECS_METADATA_DISABLED": "true",
    }
    told = subprocess.run(
        [sys.executable, "-c", CHAIN, str(file)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert told.stdout.split("\n")[:3] == [f"id-{number} secret-{number}" for number in range(3)], told.stderr
