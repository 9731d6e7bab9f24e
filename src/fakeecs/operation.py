"""The operation itself: parameters in, a page or a refusal out.

Source: DescribeImageSharePermission, pages of 2017-12-12 and 2024-11-14.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fakeecs.call import Call
from fakeecs.data import Account, Data, Image
from fakeecs.editions import Choices, Edition
from fakeecs.errors import NOT_VALID, Refused

ACTION = "DescribeImageSharePermission"
VERSION = "2014-05-26"
DEFAULT_PAGE_SIZE = 10

_STATUS_TEXT = {"copied": "The image has completed copy.", "not-copied": "The image is not from copied."}


@dataclass(frozen=True, kw_only=True)
class Page:
    """A successful answer, before it is written as JSON or XML."""

    image_id: str
    region_id: str
    page_number: int
    page_size: int
    total_count: int
    groups: Sequence[str]
    accounts: Sequence[Account]


def check_envelope(call: Call) -> None:
    """Check what the API gateway checks before it looks for a signature.

    Raises:
        Refused: Wrong method, product, path, operation or version.
    """
    if call.method not in ("GET", "POST"):
        raise Refused("UnsupportedHTTPMethod")
    if call.host.endswith(".aliyuncs.com") and not call.host.startswith("ecs"):
        raise Refused("InvalidProduct.NotFound")
    if call.path != "/":
        raise Refused("InvalidAction.NotFound")
    if not call.repeated.isdisjoint(("Action", "Version")):
        raise Refused("InvalidParameter", "Action or Version")
    for name, value in (("Action", call.action), ("Version", call.version)):
        if not value:
            raise Refused("MissingParameter", name)
    if call.version != VERSION:
        raise Refused("InvalidVersion")
    if call.action != ACTION:
        raise Refused("InvalidAction.NotFound")
    if call.parameters.get("Format", "JSON").upper() not in ("JSON", "XML"):
        raise Refused("InvalidParameter", "Format")


def describe(call: Call, data: Data, *, account: str, edition: Edition, choices: Choices) -> Page:
    """Answer DescribeImageSharePermission for the account whose key signed the request.

    Raises:
        Refused: As documented in the edition.
    """
    # An empty value counts as none: some clients send every parameter they know.
    given = {name: value for name, value in call.parameters.items() if value}
    if call.repeated:
        raise Refused("InvalidParameter", min(call.repeated))
    for name in ("RegionId", "ImageId") if edition.image_required else ("RegionId",):
        if name not in given:
            raise Refused("MissingParameter", name, message=edition.missing_parameter)
    _check_owner(given, account)
    number = _number(given, "PageNumber", default=1, largest=2**31 - 1, choices=choices)
    size = _number(
        given, "PageSize", default=DEFAULT_PAGE_SIZE, largest=edition.max_page_size, choices=choices
    )
    region = given["RegionId"]
    if region not in data.regions:
        raise Refused("InvalidRegionId.NotFound", message=edition.unknown_region)
    image = _find(given.get("ImageId", ""), region, data, account, choices)
    if edition.has_image_status and image.status in _STATUS_TEXT:
        raise Refused("IncorrectImageStatus", message=_STATUS_TEXT[image.status])
    return _cut(image, region, number, size, choices)


def _find(image_id: str, region: str, data: Data, account: str, choices: Choices) -> Image:
    if not image_id:
        images = data.visible(region, account) if choices.without_image == "all" else ()
        return Image("", [shared for image in images for shared in image.accounts])
    image = data.regions[region].get(image_id)
    if image is None or image.owner not in (None, account):
        raise Refused("InvalidImageId.NotFound", image_id)
    return image


def _cut(image: Image, region: str, number: int, size: int, choices: Choices) -> Page:
    start = (number - 1) * size
    if choices.past_the_end == "refuse" and number > 1 and start >= len(image.accounts):
        raise Refused("InvalidParameter", "PageNumber")
    total = len(image.accounts)
    if choices.total_count == "accounts-and-groups":
        total += len(image.groups)
    return Page(
        image_id=image.image_id,
        region_id=region,
        page_number=number,
        page_size=size,
        total_count=total,
        groups=tuple(image.groups) if number == 1 or choices.share_groups == "every-page" else (),
        accounts=tuple(image.accounts[start : start + size]),
    )


def _number(given: Mapping[str, str], name: str, *, default: int, largest: int, choices: Choices) -> int:
    text = given.get(name, str(default))
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= 19):
        raise Refused("InvalidParameter", name, message=NOT_VALID)
    number = int(text)
    if 1 <= number <= largest:
        return number
    if choices.out_of_range == "refuse":
        raise Refused("InvalidParameter", name, message=NOT_VALID)
    return min(max(number, 1), largest)


def _check_owner(given: Mapping[str, str], account: str) -> None:
    """Delegation to another account's resources is not modelled: only one's own account is valid."""
    for prefix in ("", "Resource"):
        owner_id, owner_account = given.get(f"{prefix}OwnerId"), given.get(f"{prefix}OwnerAccount")
        if owner_id and owner_account:
            raise Refused("InvalidOwner")
        if owner_id and owner_id != account:
            raise Refused("InvalidOwnerId")
    if given.get("OwnerAccount", account) != account:
        raise Refused("InvalidParameter.OwnerAccount")
    if given.get("ResourceOwnerAccount", account) != account:
        raise Refused("InvalidParameter.ResourceOwnerAccount")
