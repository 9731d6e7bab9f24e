"""What the fake knows: regions, images, the accounts that they are shared with, and access keys."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, ConfigDict, Field

DEFAULT_ACCOUNT = "1000000000000001"

STRICT = ConfigDict(extra="forbid")
"""For records that are also read from JSON: an unknown name is an error there. Constructors check nothing."""


@dataclass(frozen=True)
class Account:
    """An account that an image is shared with. `shared_time` is sent as it is written here."""

    __pydantic_config__: ClassVar = STRICT
    aliyun_id: Annotated[str, Field(pattern=r"^[0-9]{1,20}$")]
    shared_time: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z$")] | None = None


@dataclass
class Image:
    """A custom image. Its lists may be changed at any time, also between two pages."""

    __pydantic_config__: ClassVar = STRICT
    image_id: Annotated[str, Field(min_length=1)]
    accounts: list[Account] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    owner: str | None = None
    """The account whose keys see the image; every key does if None."""
    status: Literal["available", "copied", "not-copied"] = "available"
    """Edition 2017 refuses the other two with IncorrectImageStatus."""


@dataclass(frozen=True)
class Key:
    """An access key's other half. With `security_token` it is a temporary key."""

    __pydantic_config__: ClassVar = STRICT
    secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    expires: AwareDatetime | None = None
    disabled: bool = False
    account: str = DEFAULT_ACCOUNT
    """The account that the key belongs to: whose images it sees, and whose quota it uses."""


class Data:
    """Images by region and id, and access keys by id. A region exists if it is named here."""

    def __init__(self, regions: Mapping[str, Iterable[Image]], keys: Mapping[str, Key] | None = None) -> None:
        self.regions = {
            region: {image.image_id: image for image in images} for region, images in regions.items()
        }
        self.keys = dict(keys or {})

    def image(self, region: str, image_id: str) -> Image:
        """Find an image.

        Raises:
            KeyError: The region or the image does not exist.
        """
        return self.regions[region][image_id]

    def add(self, region: str, image: Image) -> None:
        """Add or replace an image; the region is made if need be."""
        self.regions.setdefault(region, {})[image.image_id] = image

    def visible(self, region: str, account: str) -> Iterator[Image]:
        """The images of a region that an account's keys see."""
        return (image for image in self.regions[region].values() if image.owner in (None, account))
