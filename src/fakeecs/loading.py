"""JSON, from a file or over HTTP, as the records of this package; what is wrong with it in one line."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from fakeecs.data import Data, Image, Key
from fakeecs.demo import made_up_accounts

T = TypeVar("T")

_DATA = TypeAdapter(dict[str, list[Image]])
_KEYS = TypeAdapter(dict[str, Key])

MOST_MADE_UP = 100_000
"""So many accounts at most are made up for an image."""


class BadData(ValueError):
    """Data that does not keep to the format. The text says where and why."""


def load(path: Path) -> Data:
    """Read a data file.

    Raises:
        OSError: The file cannot be read.
        BadData: It is not what it should be.
    """
    return parse(decode(path.read_bytes()))


def decode(text: bytes) -> Any:
    """Read JSON in which no object names a member twice.

    Raises:
        BadData: It is not that.
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct_members)
    except BadData:
        raise
    except (ValueError, RecursionError) as error:
        raise BadData(f"not JSON: {error}") from None


def parse(document: Any) -> Data:
    """Make data of a JSON document.

    Raises:
        BadData: It is not what it should be.
    """
    if not isinstance(document, dict) or not {"regions"} <= document.keys() <= {"regions", "keys"}:
        raise BadData('the document is an object of "regions" and, if need be, "keys"')
    regions = document["regions"]
    if isinstance(regions, dict):
        regions = {
            region: _spelled_out_all(images, f"regions.{region}") for region, images in regions.items()
        }
    found = record(_DATA, regions, "regions")
    for region, images in found.items():
        _check_distinct([image.image_id for image in images], f"regions.{region}")
        for image in images:
            check(image, f"regions.{region}.{image.image_id}")
    return Data(found, record(_KEYS, document.get("keys", {}), "keys"))


def check(image: Image, where: str) -> None:
    """Check what the types of an image do not say.

    Raises:
        BadData: An account or a group is there more than once.
    """
    _check_distinct([account.aliyun_id for account in image.accounts], f"{where}.accounts")
    _check_distinct(image.groups, f"{where}.groups")


def spelled_out(image: Any, where: str) -> Any:
    """An image with the short forms of its accounts written out: a number of them, or bare ids.

    Raises:
        BadData: The accounts are neither a list nor such a number.
    """
    if not isinstance(image, dict):
        return image
    accounts = image.get("accounts", [])
    if type(accounts) is int and 0 <= accounts <= MOST_MADE_UP:
        accounts = [vars(account) for account in made_up_accounts(accounts)]
    if not isinstance(accounts, list):
        raise BadData(f"{where}.accounts: Input should be a list, or a number up to {MOST_MADE_UP:,}")
    return {
        **image,
        "accounts": [{"aliyun_id": item} if isinstance(item, str) else item for item in accounts],
    }


def record(adapter: TypeAdapter[T], value: Any, where: str) -> T:
    """Make a record of parsed JSON.

    Raises:
        BadData: It is not what it should be; the text names the first thing wrong.
    """
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join((where, *map(str, first["loc"])))
        raise BadData(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None


def _spelled_out_all(images: Any, where: str) -> Any:
    if not isinstance(images, list):
        return images
    return [spelled_out(image, f"{where}.{position}") for position, image in enumerate(images)]


def _distinct_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    _check_distinct([name for name, _ in members], "an object")
    return dict(members)


def _check_distinct(names: list[str], where: str) -> None:
    for name, times in Counter(names).items():
        if times > 1:
            raise BadData(f"{where}: {name} is there more than once")
