"""The command line: `serve`, `list`, `export`. A wrong call is one clear line and exit code 2."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from enum import EnumType
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn, get_args

from ecsgateway.config import PREFIX, BadSetting, Settings, address, flag, load


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code: 0 done, 1 failed, 2 called wrongly."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "serve":
                return _serve(options)
            case "list":
                return _list(options)
            case _:
                return _export(options)
    except BadSetting as error:
        sys.stderr.write(f"ecsgateway: {error}\n")
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who reads has enough; Python flushes once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _serve(options: argparse.Namespace) -> int:
    flags = {name: value for name, value in vars(options).items() if name in Settings.model_fields}
    settings = load(flags)
    from ecsgateway.rpc.serve import serve  # slow to import: a wrong setting is told first

    asyncio.run(serve(settings))
    return 0


def _list(options: argparse.Namespace) -> int:
    from ecsgateway.rpc.lister import list_accounts

    return asyncio.run(
        list_accounts(
            target=options.target,
            region_id=options.region,
            image_id=options.image,
            page_size=options.page_size,
            verify=options.verify,
            timeout=options.timeout,
            as_json=options.json,
            ca=options.tls_ca,
        )
    )


def _export(options: argparse.Namespace) -> int:
    from ecsgateway.clients.export import export

    for written in export(options.directory):
        print(written)  # noqa: T201 - the command's answer
    return 0


def _parser() -> _Parser:
    parser = _Parser(prog="ecsgateway", description="A gRPC gateway to ECS DescribeImageSharePermission.")
    parser.add_argument("--version", action="version", version=version("ecsgateway"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="serve the gateway",
        description="Serve the gateway. Every flag is also an environment variable; a flag wins.",
    )
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, False) else f"; default {field.default}"
        text = f"{field.description}{default} [{PREFIX}{name.upper()}]"
        if field.annotation is bool:
            serve.add_argument(flag(name), action="store_true", default=argparse.SUPPRESS, help=text)
        else:
            serve.add_argument(
                flag(name), default=argparse.SUPPRESS, metavar=_metavar(name, field.annotation), help=text
            )

    lister = commands.add_parser("list", help="list the accounts that an image is shared with")
    lister.add_argument("--region", required=True, help="region id, for example cn-hangzhou")
    lister.add_argument("--image", required=True, help="image id")
    lister.add_argument(
        "--target",
        type=address,
        default="127.0.0.1:50051",
        help="HOST:PORT of the gateway; default 127.0.0.1:50051",
    )
    lister.add_argument("--page-size", type=int, default=0, help="accounts per upstream page; 0: the most")
    lister.add_argument("--verify", action="store_true", help="read until two passes over the list agree")
    lister.add_argument("--timeout", type=float, default=60.0, help="seconds; default 60")
    lister.add_argument("--json", action="store_true", help="one JSON object a line")
    lister.add_argument(
        "--tls-ca", type=Path, help="PEM file of the CA that signed the gateway's certificate"
    )

    export = commands.add_parser(
        "export", help="write what a client needs: protos, descriptors, service config"
    )
    export.add_argument("directory", type=Path, help="where to; made if need be")
    return parser


def _metavar(name: str, kind: object) -> str:
    """Name what a flag takes: its choices, if it has some."""
    choices = get_args(kind) or (tuple(kind) if isinstance(kind, EnumType) else ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return "{" + ",".join(choices) + "}"
    return {"listen": "HOST:PORT", "endpoint": "URL"}.get(name, "VALUE")
