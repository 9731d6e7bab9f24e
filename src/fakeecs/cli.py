"""The command `fakeecs`."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from random import Random
from typing import get_args, get_type_hints

from fakeecs.control import Control
from fakeecs.data import Data, Key
from fakeecs.demo import demo_data
from fakeecs.editions import EDITIONS, Choices
from fakeecs.loading import BadData, load
from fakeecs.server import FakeEcs

DATA_FORMAT = """\
The data file is JSON:
  {
    "regions": {
      "cn-hangzhou": [
        {
          "image_id": "m-1",
          "groups": ["all"],
          "accounts": [
            {"aliyun_id": "1234567890123456", "shared_time": "2023-01-01T12:05:00Z"},
            "1234567890123457"
          ]
        },
        {"image_id": "m-2", "accounts": 2345, "owner": "1000000000000001", "status": "available"}
      ]
    },
    "keys": {
      "testid": {"secret": "testsecret", "account": "1000000000000001"},
      "STS.testid": {"secret": "testsecret", "security_token": "testtoken",
                     "expires": "2030-01-01T00:00:00Z", "disabled": false}
    }
  }
A number in place of a list of accounts makes up so many. An image with an owner is seen by the keys of that
account only. Without "keys" there are those of the demo: testid and, with the token testtoken, STS.testid,
both with the secret testsecret. --key-id takes the place of them all.
"""
EDITION_HELP = "of the document (default 2024); 2017 has pages of at most 50, and no SharedTime"
GRACE = 1.0
"""Seconds that running requests get when the command is told to stop."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.key_id is None and (options.secret or options.security_token):
        parser.error("--secret and --security-token belong to a --key-id")
    try:
        fake = _fake(options)
        control = Control(fake, *options.control) if options.control else None
        asyncio.run(_serve(fake, control))
    except BadData as error:
        sys.stderr.write(f"fakeecs: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"fakeecs: cannot listen: {error.strerror or error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fakeecs",
        description="A fake Alibaba Cloud ECS (DescribeImageSharePermission, 2014-05-26) that the vendor's "
        "SDKs can call. Without --data it serves demo data; see GET /data of the control API.",
        epilog=f"{DATA_FORMAT}\nThe choices, with their defaults first:\n{_choices_help()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--listen", type=_address, default=("127.0.0.1", 8085), metavar="HOST:PORT", help="port 0 picks one")
    add("--control", type=_address, metavar="HOST:PORT", help="serve the control API there; GET / lists it")
    add("--data", type=Path, metavar="FILE", help="what exists, as JSON")
    add("--edition", type=int, choices=sorted(EDITIONS), default=2024, help=EDITION_HELP)
    add("--key-id", metavar="ID", help="the only access key there is")
    add("--secret", help="of --key-id (default testsecret)")
    add("--security-token", metavar="TOKEN", help="makes --key-id a temporary key")
    add("--choose", type=_choice, action="append", default=[], metavar="NAME=VALUE", help="see below")
    add("--seed", type=int, default=0, help="of what is left to chance (default 0)")
    return parser


def _fake(options: argparse.Namespace) -> FakeEcs:
    keys = None
    if options.key_id:
        keys = {options.key_id: Key(options.secret or "testsecret", options.security_token)}
    return FakeEcs(
        data=_data(options.data),
        keys=keys,
        edition=options.edition,
        choices=Choices(**dict(options.choose)),
        random=Random(options.seed),  # noqa: S311 - no secrets are made of it
        listen=options.listen,
    )


def _data(path: Path | None) -> Data:
    if path is None:
        return demo_data()
    try:
        return load(path)
    except BadData as error:
        raise BadData(f"{path}: {error}") from None
    except OSError as error:
        raise BadData(f"{path}: {error.strerror}") from None


async def _serve(fake: FakeEcs, control: Control | None) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        await fake.start()
        said = f"fakeecs listens on {fake.url}\n"
        if control is not None:
            await control.start()
            said += f"control API on {control.url}\n"
        sys.stdout.write(said)
        sys.stdout.flush()
        await stopped.wait()
    finally:
        if control is not None:
            await control.close()
        await fake.close(GRACE)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.strip("[]"), int(port)


def _choice(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    choices = _open_choices()
    if name not in choices:
        raise argparse.ArgumentTypeError(f"there is no choice {name!r}, only {', '.join(choices)}")
    if choices[name] and value not in choices[name]:
        raise argparse.ArgumentTypeError(f"{name} is one of {', '.join(choices[name])}")
    return name.replace("-", "_"), value


def _open_choices() -> dict[str, tuple[str, ...]]:
    """What the command line can choose from, by name; nothing if any text will do."""
    hints = get_type_hints(Choices)
    names = [field.name for field in fields(Choices) if field.name != "errors"]
    return {name.replace("_", "-"): get_args(hints[name]) for name in names}


def _choices_help() -> str:
    return "".join(
        f"  {name}={'|'.join(allowed) or getattr(Choices, name.replace('-', '_'))}\n"
        for name, allowed in _open_choices().items()
    )
