"""The catalogue's content faults, C1 to C20: answers in good HTTP that are not good answers."""

from collections.abc import Callable
from dataclasses import dataclass

import grpc
import orjson
import pytest
from google.rpc import error_details_pb2 as rpc

from ecsgateway.v1.error_details_pb2 import UpstreamError
from tests.calling import STREAM, UNARY
from tests.faults.conftest import Begin
from tests.faults.hostile import ACCOUNTS, Script, Wire, answer, page, well
from tests.faults.trial import CANARIES

BOTH = pytest.mark.parametrize("way", [UNARY, STREAM])
MALFORMED = ("INTERNAL", "UPSTREAM_MALFORMED_RESPONSE")
UNAVAILABLE = ("UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
THROTTLED = ("RESOURCE_EXHAUSTED", "UPSTREAM_THROTTLED")
OK = ("OK", "")
XML, HTML = "text/xml; charset=utf-8", "text/html"

Body = Callable[[dict[str, str]], bytes]


@dataclass(frozen=True, kw_only=True)
class Case:
    """An answer, and what it must become."""

    body: Body
    ending: tuple[str, str]
    status: int = 200
    kind: str = "application/json;charset=utf-8"
    more: str = ""


def case(
    body: bytes | Body, ending: tuple[str, str] = MALFORMED, status: int = 200, kind: str = "", more: str = ""
) -> Case:
    made = (lambda _: body) if isinstance(body, bytes) else body
    return Case(body=made, ending=ending, status=status, kind=kind or Case.kind, more=more)


def changed(**fields: object) -> Body:
    return lambda parameters: page(parameters, **fields)


def with_account(**account: object) -> Body:
    """A list whose last account is another."""
    accounts = [{"AliyunId": each} for each in ACCOUNTS[:2]]
    return changed(Accounts={"Account": [*accounts, account]})


def spliced(field: bytes, value: bytes) -> Body:
    """A page with a field whose value no JSON writer would write."""
    return lambda parameters: page(parameters)[:-1] + b', "%b": %b}' % (field, value)


def in_xml(parameters: dict[str, str], *, prolog: str = "", accounts: str = "", pretty: str = "") -> bytes:
    accounts = accounts or "".join(
        f"<Account>{pretty}<AliyunId>{each}</AliyunId></Account>" for each in ACCOUNTS
    )
    total = accounts.count("<AliyunId>")
    fields = {
        "PageNumber": parameters["PageNumber"],
        "PageSize": parameters["PageSize"],
        "TotalCount": total,
        "RegionId": parameters["RegionId"],
        "ImageId": parameters["ImageId"],
        "ShareGroups": pretty,
        "Accounts": f"{pretty}{accounts}{pretty}",
    }
    inner = pretty.join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    root = "DescribeImageSharePermissionResponse"
    return f'<?xml version="1.0" encoding="UTF-8"?>{prolog}<{root}>{inner}</{root}>'.encode()


def hidden(definitions: str, use: str) -> Body:
    """A page in XML that declares entities and uses one."""
    account = f"<Account><AliyunId>1{use}</AliyunId></Account>"
    return lambda p: in_xml(p, prolog=f"<!DOCTYPE x [{definitions}]>", accounts=account)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(10))

CASES = {
    "C1-html-at-200": case(b"<html>hello</html>", kind=HTML),
    "C2-json-as-text": case(changed(), kind="text/plain"),
    "C2-json-as-octets": case(changed(), kind="application/octet-stream"),
    "C2-json-as-xml": case(changed(), kind=XML),
    "C2-other-json-type": case(changed(), OK, kind="application/problem+json"),
    "C3-502-html": case(b"<html>bad gateway</html>", UNAVAILABLE, 502, HTML),
    "C3-503-empty": case(b"", UNAVAILABLE, 503, HTML),
    "C3-504-json-without-code": case(b"{}", UNAVAILABLE, 504),
    "C3-500-html": case(b"<html>oops</html>", UNAVAILABLE, 500, HTML),
    "C4-invalid-utf-8": case(spliced(b"x", b'"\xff\xfe"')),
    "C4-utf-16": case(lambda p: page(p).decode().encode("utf-16")),
    "C6-nested-arrays": case(b"[" * 100_000 + b"]" * 100_000),
    "C6-nested-xml": case(b"<a>" * 100_000 + b"</a>" * 100_000, kind=XML),
    "C6-nested-in-the-right-root": case(
        lambda p: in_xml(p, accounts="<Account>" * 1000 + "</Account>" * 1000), kind=XML
    ),
    "C6-wide-xml": case(lambda p: in_xml(p, accounts="<a/>" * 200_000), kind=XML),
    "C8-nan": case(spliced(b"x", b"NaN")),
    "C8-infinity": case(spliced(b"x", b"-Infinity")),
    "C8-1e400": case(spliced(b"x", b"1e400")),
    "C10-exact-number": case(with_account(AliyunId=3333333333), OK),
    "C10-negative-number": case(with_account(AliyunId=-1)),
    "C10-number-above-2-53": case(with_account(AliyunId=2**53 + 1)),
    "C10-float": case(with_account(AliyunId=1.5)),
    "C10-boolean": case(with_account(AliyunId=True)),
    "C10-null": case(with_account(AliyunId=None)),
    "C10-empty": case(with_account(AliyunId="")),
    "C10-absent": case(with_account(Other="x")),
    "C10-object": case(with_account(AliyunId={"x": 1})),
    "C11-lone-surrogate": case(spliced(b"x", rb'"\ud800"')),
    "C12-no-accounts": case(changed(Accounts=None)),
    "C12-null-list": case(changed(Accounts={"Account": None})),
    "C12-no-list": case(changed(Accounts={})),
    "C12-list-in-place-of-object": case(changed(Accounts=[])),
    "C12-text-in-place-of-object": case(changed(Accounts="x")),
    "C12-list-of-texts": case(changed(Accounts={"Account": list(ACCOUNTS)})),
    "C12-list-of-nulls": case(changed(Accounts={"Account": [None]})),
    "C12-more-than-a-page": case(lambda p: page(p, PageSize=2, TotalCount=3)),
    "C13-unknown-fields-and-groups": case(
        changed(New={"x": [1]}, ShareGroups={"ShareGroup": [{"Group": "new", "Other": 1}]}), OK
    ),
    "C13-no-groups": case(changed(ShareGroups=None), OK),
    "C13-group-without-name": case(changed(ShareGroups={"ShareGroup": [{}]})),
    "C14-time": case(with_account(AliyunId="3333333333", SharedTime="9999-12-31T23:59:59Z"), OK),
    "C14-time-without-seconds": case(with_account(AliyunId="3333333333", SharedTime="2023-01-01T12:05Z"), OK),
    "C14-empty-time": case(with_account(AliyunId="3333333333", SharedTime=""), OK),
    "C14-not-a-time": case(with_account(AliyunId="3333333333", SharedTime="yesterday")),
    "C14-year-0": case(with_account(AliyunId="3333333333", SharedTime="0000-01-01T00:00:00Z")),
    "C14-offset": case(with_account(AliyunId="3333333333", SharedTime="2023-01-01T12:05:00+08:00")),
    "C14-number": case(with_account(AliyunId="3333333333", SharedTime=1672574700)),
    "C15-xml-unasked": case(in_xml, OK, kind=XML),
    "C15-xml-pretty": case(lambda p: in_xml(p, pretty="\n  "), OK, kind="application/xml"),
    "C15-billion-laughs": case(hidden(LAUGHS, "&l9;"), kind=XML),
    "C15-quadratic": case(hidden(f'<!ENTITY q "{"x" * 50_000}">', "&q;" * 5000), kind=XML),
    "C15-external-file": case(hidden('<!ENTITY e SYSTEM "file:///etc/hostname">', "&e;"), kind=XML),
    "C15-external-doctype": case(
        lambda p: in_xml(p, prolog='<!DOCTYPE x SYSTEM "http://127.0.0.1:1/x.dtd">'), kind=XML
    ),
    "C15-unknown-encoding": case(b'<?xml version="1.0" encoding="no-such"?><a/>', kind=XML),
    "C15-other-root": case(b"<Other><PageNumber>1</PageNumber></Other>", kind=XML),
    "C15-half": case(lambda p: in_xml(p)[:-20], kind=XML),
    "C15-xml-as-json": case(in_xml),
    "C16-empty": case(b""),
    "C16-whitespace": case(b" \r\n\t "),
    "C16-null": case(b"null"),
    "C16-list": case(b"[]"),
    "C16-text": case(b'"x"'),
    "C16-number": case(b"1"),
    "C16-trailing-data": case(lambda p: page(p) + b"{}"),
    "C16-byte-order-mark": case(lambda p: b"\xef\xbb\xbf" + page(p)),
    "C18-404-html": case(b"<html>no</html>", MALFORMED, 404, HTML),
    "C18-400-json-without-code": case(b'{"Message": "no"}', MALFORMED, 400),
    "C18-400-code-of-another-type": case(b'{"Code": 1}', MALFORMED, 400),
    "C18-403-html": case(b"<html>no</html>", MALFORMED, 403, HTML),
    "C18-401-html": case(b"<html>who</html>", MALFORMED, 401, HTML),
    "C18-429-html": case(b"<html>slow</html>", THROTTLED, 429, HTML, "Retry-After: 40\r\n"),
    "C18-500-json-without-code": case(b"{}", ("INTERNAL", "UPSTREAM_INTERNAL_ERROR"), 500),
    "P1-negative-total": case(changed(TotalCount=-1)),
    "P1-text-total": case(changed(TotalCount="3"), OK),
    "P1-text-that-is-no-integer": case(changed(TotalCount="3.0")),
    "P1-float-total": case(changed(TotalCount=3.0)),
    "P1-boolean-total": case(changed(TotalCount=True)),
    "P1-no-total": case(changed(TotalCount=None)),
    "P1-total-above-int32": case(changed(TotalCount=2**31)),
    "P1-total-of-5000-digits": case(changed(TotalCount="9" * 5000)),
    "P10-other-page": case(changed(PageNumber=2)),
    "P10-other-region": case(changed(RegionId="cn-beijing")),
    "P10-other-image": case(changed(ImageId="m-other")),
    "P10-larger-pages": case(changed(PageSize=101)),
    "P10-page-size-0": case(changed(PageSize=0)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_an_answer_is_decoded_or_refused_in_both_methods(begin: Begin, case: Case) -> None:
    trial = await begin()
    trial.upstream.scripts = [playing(case)]
    for way in (UNARY, STREAM):
        outcome = await trial.ask(way)

        assert (outcome.code.name, outcome.reason) == case.ending
        if outcome.code is not grpc.StatusCode.OK:
            assert "<html>" not in outcome.text
            assert outcome.detail(UpstreamError).http_status == case.status


@BOTH
async def test_a_malformed_answer_is_tried_again_once_whatever_failed_before(begin: Begin, way: str) -> None:
    trial = await begin()
    html, nothing = playing(CASES["C3-502-html"]), playing(CASES["C16-empty"])

    trial.upstream.scripts = [html, nothing, well]
    assert (await trial.ask(way)).code is grpc.StatusCode.OK

    trial.upstream.scripts = [nothing, nothing, well]
    assert (await trial.ask(way)).reason == "UPSTREAM_MALFORMED_RESPONSE"


def playing(case: Case) -> Script:
    async def script(wire: Wire) -> None:
        if wire.parameters.get("ImageId") == "m-healthy":
            await wire.send(answer(page(wire.parameters)))
            return
        body = case.body(wire.parameters)
        await wire.send(answer(body, status=case.status, kind=case.kind, more=case.more))

    return script


async def test_c12_no_accounts_at_all_is_an_empty_list_when_the_total_is_0(begin: Begin) -> None:
    trial = await begin()
    trial.held = ()
    nothings: tuple[object, ...] = (None, {}, {"Account": None}, {"Account": []}, "")
    for accounts in nothings:
        trial.upstream.scripts = [playing(case(changed(TotalCount=0, Accounts=accounts)))]
        assert (await trial.ask(STREAM)).code is grpc.StatusCode.OK


@BOTH
async def test_c11_strange_characters_pass_in_data(begin: Begin, way: str) -> None:
    strange = "1\x00\x1b[31m‮\n"
    trial = await begin()
    trial.held = (strange,)
    accounts = {"Account": [{"AliyunId": strange}]}
    trial.upstream.scripts = [playing(case(changed(TotalCount=1, Accounts=accounts)))]
    assert (await trial.ask(way)).accounts == [strange]


LEAKS = {
    "string-to-sign": "Not matched with our calculation. server string to sign is:POST&%2F&x",
    "key-id": "The key canary-key-id may not",
    "token": "Your token canary-sts-token",
    "secret": "canary-key-secret",
    "arn": "acs:ram::1234567890123456:user/someone may not",
    "key-of-another": "AccessKey LTAI5tAbCdEf is",
}


@pytest.mark.parametrize(("way", "signature"), [(UNARY, "hmac-sha1"), (STREAM, "acs3-hmac-sha256")])
@pytest.mark.parametrize(
    "code", ["SignatureDoesNotMatch", "InvalidParameter", "MissingParameter", "Whatever"]
)
@pytest.mark.parametrize("leak", LEAKS.values(), ids=LEAKS)
async def test_c19_no_sentence_that_may_tell_a_secret_is_relayed_or_logged(
    begin: Begin, way: str, code: str, leak: str, signature: str
) -> None:
    trial = await begin(signature=signature)
    body = orjson.dumps({"Code": code, "Message": leak, "Recommend": f"https://x.example/{leak.split()[-1]}"})
    trial.upstream.scripts = [playing(case(body, status=400))]

    outcome = await trial.ask(way)

    assert outcome.info.metadata["upstream_code"] == code
    told = outcome.seen().decode(errors="replace") + trial.log.getvalue()
    assert leak not in told
    assert "canary" not in told


LONG = {
    "ascii": "x" * 1_000_000,
    "256-cjk": "镜" * 256,
    "cjk": "镜" * 4000,
    "emoji": "😀" * 4000,
    "controls": "\x00\r\n\x1b[31m‮ " * 30,
    "crlf": "first\r\nsecond: x",
}


@pytest.mark.parametrize("code", ["InvalidParameter", "IncorrectImageStatus", "Whatever"])
@pytest.mark.parametrize("message", LONG.values(), ids=LONG)
async def test_c19_a_sentence_is_cut_and_harmless_in_both_methods(
    begin: Begin, code: str, message: str
) -> None:
    trial = await begin()
    body = orjson.dumps({"Code": code, "Message": message, "RequestId": "A" * 64, "HostId": "h" * 128})
    trial.upstream.scripts = [playing(case(body, status=400))]
    for way in (UNARY, STREAM):
        outcome = await trial.ask(way)

        assert outcome.info.metadata["upstream_code"] == code
        assert outcome.text.isprintable()
        assert outcome.size <= 4096
        assert len(outcome.text.encode()) <= 512
    assert all(line.isprintable() for line in trial.log.getvalue().splitlines())


@BOTH
@pytest.mark.parametrize(
    "given",
    [None, "", "x" * 10_000, "a\r\nb", 7, "1C488B66 B819", "\uff14"],
    ids=lambda given: repr(given)[:12],
)
async def test_c20_an_odd_request_id_is_left_out(begin: Begin, way: str, given: object) -> None:
    trial = await begin()
    fields = {"Code": "InvalidImageId.NotFound", "RequestId": given, "HostId": given, "Recommend": given}
    trial.upstream.scripts = [playing(case(orjson.dumps(fields), status=404))]

    outcome = await trial.ask(way)

    said = outcome.detail(UpstreamError)
    assert (said.code, said.request_id, said.host_id, said.recommend) == (fields["Code"], "", "", "")
    assert outcome.detail(rpc.RequestInfo).serving_data == ""


@BOTH
@pytest.mark.parametrize("code", ["x" * 65, "a b", "a\nb", "Ünknown", "x" * 10_000])
async def test_k15_a_code_that_is_none_is_not_told(begin: Begin, way: str, code: str) -> None:
    trial = await begin()
    trial.upstream.scripts = [playing(case(orjson.dumps({"Code": code}), status=400))]

    outcome = await trial.ask(way)

    assert (outcome.code.name, outcome.reason) == MALFORMED
    assert code not in outcome.seen().decode(errors="replace")


def test_canaries_are_looked_for() -> None:
    assert len(CANARIES.words()) == 3
