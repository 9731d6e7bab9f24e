"""The command `serve`: from settings to a server that stops on a signal."""

import asyncio
import signal
from contextlib import AsyncExitStack

from ecsgateway.config import BadSetting, Settings, credential_files
from ecsgateway.ecs.credentials import Credentials, CredentialsMissing, CredentialSource, DefaultChain
from ecsgateway.rpc.lister import list_accounts
from ecsgateway.rpc.server import Gateway, check_free
from ecsgateway.rpc.telemetry import start_logging

DEMO_REGION, DEMO_IMAGE = "cn-hangzhou", "m-demo-45"


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second one ends the calls that still run.

    Raises:
        BadSetting: it cannot serve, and says why.
    """
    listener = start_logging(settings.log_format, settings.log_level)
    try:
        check_free(settings.listen)  # before anything that takes time
        async with AsyncExitStack() as stack:
            if settings.demo:
                settings, credentials = await _demo(settings, stack)
            else:
                credentials = await _credentials()
            gateway = Gateway(settings, credentials)
            signals = (
                _Signals()
            )  # before it serves, so that none is missed; until here, a signal just ends it
            await gateway.start()
            if settings.demo:
                await _show(gateway.address)
            await signals.stop.wait()
            await _stop(gateway, signals)
    finally:
        listener.stop()


async def _credentials() -> CredentialSource:
    """Find the credentials before anything is served.

    Raises:
        BadSetting: there are none.
    """
    chain = DefaultChain(files=credential_files())
    source = CredentialSource(chain)
    try:
        async with asyncio.timeout(await asyncio.to_thread(chain.patience)):
            await source.get()
    except CredentialsMissing as error:
        raise BadSetting(f"no credentials in Alibaba's default chain: {error}") from None
    except TimeoutError:
        raise BadSetting("no credentials: no provider of Alibaba's default chain answered in time") from None
    return source


class _Signals:
    """SIGTERM and SIGINT: the first one says stop, the second one says hurry."""

    def __init__(self) -> None:
        self.stop, self.hurry = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._came)

    def _came(self) -> None:
        (self.hurry if self.stop.is_set() else self.stop).set()


async def _stop(gateway: Gateway, signals: _Signals) -> None:
    """Stop, and end what still runs when a second signal comes."""
    stopping = asyncio.create_task(gateway.stop())
    hurried = asyncio.create_task(signals.hurry.wait())
    await asyncio.wait((stopping, hurried), return_when=asyncio.FIRST_COMPLETED)
    hurried.cancel()
    if not stopping.done():
        await gateway.abort()
    await stopping


async def _demo(settings: Settings, stack: AsyncExitStack) -> tuple[Settings, CredentialSource]:
    """Start the fake upstream, and take its keys."""
    from fakeecs import FakeEcs

    fake = await stack.enter_async_context(FakeEcs())
    keys = Credentials(access_key_id="testid", access_key_secret="testsecret")  # noqa: S106 - visibly fake
    return settings.model_copy(update={"endpoint": fake.url}), CredentialSource(lambda: keys)


async def _show(address: str) -> None:
    """Stream one list, and say how to go on."""
    print(f"The accounts that {DEMO_IMAGE} in {DEMO_REGION} is shared with, in five pages:\n")  # noqa: T201
    await list_accounts(target=address, region_id=DEMO_REGION, image_id=DEMO_IMAGE, page_size=10)
    request = f'{{"region_id": "{DEMO_REGION}", "image_id": "{DEMO_IMAGE}"}}'
    print(  # noqa: T201
        f"\nServing on {address}; stop with Ctrl-C. Now try, in another terminal:\n\n"
        f"  grpcurl -plaintext -d '{request}' {address} \\\n"
        "    ecsgateway.v1.ImageSharePermissionService/StreamImageSharePermission\n\n"
        f"  .venv/bin/ecsgateway list --target {address} --region {DEMO_REGION} --image m-demo-2345\n",
        flush=True,
    )
