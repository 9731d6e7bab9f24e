"""Everything the service can refuse with: code, status and text.

Source: ECS "Response" page (185871), the API gateway's common codes, both editions of the
DescribeImageSharePermission page, and live answers where they differ from the documents.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

Sender = Literal["gateway", "service"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What an error answer says. `%s` in `message` stands for the subject of the refusal."""

    code: str
    status: int
    message: str
    sender: Sender = "service"


class Refused(Exception):
    """The service refuses a request with a documented code.

    `subject` fills the `%s` of the text; `message` takes the place of the documented text where one code
    has several.
    """

    def __init__(self, code: str, subject: str = "", *, message: str | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.subject = subject
        self.message = message

    def problem(self, overrides: Mapping[str, Problem]) -> Problem:
        """Spell the refusal out; an override of its code wins over everything documented."""
        known = overrides.get(self.code)
        if known is None:
            known = DOCUMENTED.get(self.code) or Problem(code=self.code, status=400, message=UNKNOWN_ERROR)
            template = self.message or known.message
        else:
            template = known.message
        message = template.replace("%s", self.subject)
        return replace(known, message=message)


UNKNOWN_ERROR = "The request processing has failed due to some unknown error."
NOT_SUPPLIED = 'The input parameter "%s" that is mandatory for processing this request is not supplied.'
NOT_VALID = 'The specified parameter "%s" is not valid.'
NOT_AUTHORIZED = "User not authorized to operate on the specified resource."

_SERVICE: dict[str, tuple[int, str]] = {
    "InvalidImageId.NotFound": (404, "The specified ImageId does not exist."),
    "InvalidRegionId.NotFound": (404, "The specified RegionId does not exist."),
    "IncorrectImageStatus": (400, "The image has completed copy."),
    "MissingParameter": (400, NOT_SUPPLIED),
    "InvalidParameter": (400, NOT_VALID),
    "InvalidParamater": (400, NOT_VALID),  # spelled so in the document
    "InvalidParameter.IsNull": (400, "The required parameter must be not null."),
    "InvalidOwner": (400, "OwnerId and OwnerAccount can't be used at one API access."),
    "InvalidOwnerAccount": (400, "The specified OwnerAccount is not valid."),
    "InvalidOwnerId": (400, "The specified OwnerId is not valid."),
    "InvalidParameter.OwnerAccount": (403, "OwnerAccount is Invalid."),
    "InvalidParameter.ResourceOwnerAccount": (403, "ResourceOwnerAccount is Invalid."),
    "UnsupportedParameter": (400, "The parameters is unsupported."),
    "UnknownError": (400, UNKNOWN_ERROR),
    "Forbidden.NotSupportRAM": (403, "This action does not support accessed by RAM mode."),
    "Forbidden.SubUser": (403, "The specified action is not available for you."),
    "Forbidden.RiskControl": (403, "This operation is forbidden by Aliyun RiskControl system."),
    "Forbidden.Unauthorized": (403, NOT_AUTHORIZED),
    "Forbidden.RAM": (403, NOT_AUTHORIZED[:-1] + ", or this API doesn't support RAM."),
    "Forbidden": (403, NOT_AUTHORIZED),
    "NoPermission": (403, "You are not authorized to do this action."),
    "InvalidAction": (403, "Specified action is not valid."),
    "OperationConflict": (409, "Request was denied due to conflict with a previous request."),
    "InternalError": (
        500,
        "The request processing has failed due to some unknown error, exception or failure.",
    ),
    "ServiceUnavailable": (503, "The request has failed due to a temporary failure of the server."),
    "ServiceUnavailable.RegionMaintaining": (
        503,
        "System maintenance is in progress on the selected region, "
        "please wait a few minutes before trying again.",
    ),
}

_GATEWAY: dict[str, tuple[int, str]] = {
    "SignatureDoesNotMatch": (
        400,
        "Specified signature is not matched with our calculation. server string to sign is:%s",
    ),
    "IncompleteSignature": (
        400,
        "The request signature does not conform to Aliyun standards. server string to sign is:%s",
    ),
    "IllegalTimestamp": (400, NOT_SUPPLIED.replace("%s", "Timestamp")),
    "InvalidTimeStamp.Expired": (400, "Specified time stamp or date value is expired."),
    "InvalidTimeStamp.Format": (400, "Specified time stamp or date value is not well formatted."),
    "SignatureNonceUsed": (400, "Specified signature nonce was used already."),
    "InvalidAccessKeyId.NotFound": (404, "Specified access key is not found."),
    "InvalidAccessKeyId.Inactive": (400, "Specified access key is disabled."),
    "InvalidAccessKeyId": (404, "Specified access key is not found or invalid."),
    "Forbidden.AccessKeyDisabled": (403, "The Access Key is disabled."),
    "MissingSecurityToken": (400, "SecurityToken is mandatory for this action."),
    "InvalidSecurityToken.Expired": (400, "Specified SecurityToken is expired."),
    "InvalidSecurityToken.Malformed": (400, "Specified SecurityToken is malformed."),
    "InvalidSecurityToken.MismatchWithAccessKey": (
        400,
        "Specified SecurityToken mismatch with the AccessKey.",
    ),
    "Throttling": (400, "Request was denied due to request throttling."),
    "Throttling.User": (400, "Request was denied due to user flow control."),
    "Throttling.Api": (400, "Request was denied due to api flow control."),
    "InvalidVersion": (400, "Specified parameter Version is not valid."),
    "InvalidAction.NotFound": (404, "Specified api is not found, please check your url and method."),
    "InvalidApi.NotFound": (404, "Specified api is not found, please check your url and method."),
    "InvalidProduct.NotFound": (404, "Cannot find product according to your specified domain."),
    "UnsupportedHTTPMethod": (403, "This http method is not supported."),
}

DOCUMENTED: dict[str, Problem] = {
    **{
        code: Problem(code=code, status=status, message=message)
        for code, (status, message) in _SERVICE.items()
    },
    **{
        code: Problem(code=code, status=status, message=message, sender="gateway")
        for code, (status, message) in _GATEWAY.items()
    },
}

CODE_OF_STATUS: dict[int, str] = {
    403: "Forbidden.RAM",
    404: "InvalidImageId.NotFound",
    409: "OperationConflict",
    429: "Throttling",
    500: "InternalError",
    503: "ServiceUnavailable",
}
"""The code that a fault gets which names only a status."""
