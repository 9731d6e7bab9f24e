"""The rules that the protos state, checked: all fields that break one, at once."""

import protovalidate
from google.protobuf.message import Message

from ecsgateway.errors import CallerError, Violation
from ecsgateway.mapping import Reason
from ecsgateway.rpc.undecodable import NoRequest


def validate(request: Message) -> None:
    """Check a request against the rules in its proto.

    Raises:
        CallerError: some fields break a rule; it names each of them once.
    """
    if isinstance(request, NoRequest):
        raise CallerError(Reason.INVALID_REQUEST, "its bytes are no request")
    broken: dict[str, Violation] = {}
    for violation in protovalidate.collect_violations(request):
        path = violation.proto.field
        field = ".".join(element.field_name for element in path.elements) if path else ""
        rule = violation.proto.rule_id.replace(".", "_").upper()
        broken.setdefault(field, Violation(field=field, description=violation.proto.message, rule=rule))
    if broken:
        note = "; ".join(f"{field} {each.description}" for field, each in broken.items())
        raise CallerError(Reason.INVALID_REQUEST, note, violations=list(broken.values()))
