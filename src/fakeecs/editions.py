"""What differs between the editions of the document, and what all of them leave open."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fakeecs.call import Format
from fakeecs.errors import NOT_SUPPLIED, Problem


@dataclass(frozen=True, kw_only=True)
class Edition:
    """One edition of the DescribeImageSharePermission page."""

    max_page_size: int
    image_required: bool
    has_shared_time: bool
    has_image_status: bool
    unknown_region: str
    missing_parameter: str
    recommends_always: bool
    """Whether errors of the service itself carry `Recommend`, and not only the gateway's."""
    json_order: tuple[str, ...]
    xml_order: tuple[str, ...]


_ORDER_OF_2024 = (
    "RequestId",
    "PageNumber",
    "PageSize",
    "TotalCount",
    "ImageId",
    "RegionId",
    "ShareGroups",
    "Accounts",
)

EDITIONS: Mapping[int, Edition] = {
    # Source: the page of 2017-12-12.
    2017: Edition(
        max_page_size=50,
        image_required=False,
        has_shared_time=False,
        has_image_status=True,
        unknown_region="The source region not found.",
        missing_parameter=NOT_SUPPLIED,
        recommends_always=False,
        json_order=(
            "ShareGroups",
            "Accounts",
            "ImageId",
            "PageNumber",
            "PageSize",
            "RegionId",
            "TotalCount",
            "RequestId",
        ),
        xml_order=(
            "ImageId",
            "PageNumber",
            "PageSize",
            "RegionId",
            "TotalCount",
            "RequestId",
            "ShareGroups",
            "Accounts",
        ),
    ),
    # Source: the page of 2024-11-14; the misplaced space is the page's.
    2024: Edition(
        max_page_size=100,
        image_required=True,
        has_shared_time=True,
        has_image_status=False,
        unknown_region="The specified RegionId does not exist.",
        missing_parameter='The input parameter "%s "that is mandatory for processing this request '
        "is not supplied.",
        recommends_always=True,
        json_order=_ORDER_OF_2024,
        xml_order=_ORDER_OF_2024,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How the fake behaves where the documents are silent. Decision 0003 gives the reasons."""

    out_of_range: Literal["refuse", "clamp"] = "refuse"
    """PageSize or PageNumber outside the documented range: an error, or the nearest value, echoed."""
    past_the_end: Literal["empty", "refuse"] = "empty"
    """A page after the last one."""
    total_count: Literal["accounts", "accounts-and-groups"] = "accounts"
    share_groups: Literal["every-page", "first-page"] = "every-page"
    aliyun_id: Literal["string", "number"] = "string"
    """A copy of the page later than both editions shows a JSON number."""
    without_image: Literal["empty", "all"] = "empty"
    """Edition 2017 without ImageId: nothing, or the accounts of all images of the region."""
    token_missing: Literal["InvalidAccessKeyId.NotFound", "MissingSecurityToken"] = (
        "InvalidAccessKeyId.NotFound"  # noqa: S105 - a code of the service
    )
    """A key that belongs to a security token, used without it."""
    acs3_format: Format = "JSON"
    """What an ACS3 request gets that accepts neither JSON nor XML by name."""
    xml_content_type: str = "text/xml;charset=utf-8"
    errors: Mapping[str, Problem] = field(default_factory=dict)
    """Other answers by code, for statuses and texts that differ between documents."""
