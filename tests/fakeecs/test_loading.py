"""The data file: what it may hold, and what is said of one that is wrong."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakeecs import Account, Key
from fakeecs.cli import DATA_FORMAT
from fakeecs.loading import BadData, load, parse


def region(*images: Any) -> dict[str, Any]:
    return {"regions": {"cn-hangzhou": list(images)}}


def image(**members: Any) -> dict[str, Any]:
    return region({"image_id": "m-1", **members})


def test_the_format_of_the_help_is_a_data_file(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_text(DATA_FORMAT[DATA_FORMAT.index("{") : DATA_FORMAT.rindex("}") + 1])
    data = load(file)
    first = data.image("cn-hangzhou", "m-1")
    assert first.groups == ["all"]
    assert first.accounts == [
        Account("1234567890123456", "2023-01-01T12:05:00Z"),
        Account("1234567890123457"),
    ]
    second = data.image("cn-hangzhou", "m-2")
    assert (len(second.accounts), second.owner, second.groups) == (2345, "1000000000000001", [])
    assert data.keys["testid"] == Key("testsecret")
    assert data.keys["STS.testid"].security_token == "testtoken"
    assert data.keys["STS.testid"].expires == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], 'an object of "regions"'),
        ({}, 'an object of "regions"'),
        ({"regions": {}, "images": {}}, 'an object of "regions"'),
        ({"regions": []}, "regions: Input should be a valid dictionary"),
        ({"regions": {"cn-hangzhou": {}}}, "regions.cn-hangzhou: Input should be a valid list"),
        (region("m-1"), "regions.cn-hangzhou.0: "),
        (region({}), "regions.cn-hangzhou.0.image_id: Field required"),
        (region({"image_id": ""}), "regions.cn-hangzhou.0.image_id: "),
        (image(colour="red"), "regions.cn-hangzhou.0.colour: Unexpected keyword argument"),
        (image(groups="all"), "regions.cn-hangzhou.0.groups: Input should be a valid list"),
        (image(groups=["all", "all"]), "regions.cn-hangzhou.m-1.groups: all is there more than once"),
        (image(status="lost"), "regions.cn-hangzhou.0.status: Input should be 'available'"),
        (image(accounts="1"), "regions.cn-hangzhou.0.accounts: Input should be a list, or a number up to"),
        (image(accounts=-1), "regions.cn-hangzhou.0.accounts: Input should be a list, or a number"),
        (image(accounts=True), "regions.cn-hangzhou.0.accounts: Input should be a list, or a number"),
        (image(accounts=10**8), "regions.cn-hangzhou.0.accounts: Input should be a list, or a number"),
        (image(accounts=["me"]), "regions.cn-hangzhou.0.accounts.0.aliyun_id: String should match"),
        (image(accounts=[1234]), "regions.cn-hangzhou.0.accounts.0: "),
        (
            image(accounts=[{"aliyun_id": 1234}]),
            "regions.cn-hangzhou.0.accounts.0.aliyun_id: Input should be a valid string",
        ),
        (
            image(accounts=[{"aliyun_id": "1", "shared_time": "yesterday"}]),
            "regions.cn-hangzhou.0.accounts.0.shared_time: String should match",
        ),
        (image(accounts=["1", "2", "1"]), "regions.cn-hangzhou.m-1.accounts: 1 is there more than once"),
        (
            region({"image_id": "m-1"}, {"image_id": "m-1"}),
            "regions.cn-hangzhou: m-1 is there more than once",
        ),
        ({"regions": {}, "keys": {"testid": {}}}, "keys.testid.secret: Field required"),
        (
            {"regions": {}, "keys": {"testid": {"secret": "s", "expires": "2030-01-01T00:00:00"}}},
            "keys.testid.expires: Input should have timezone info",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:60],
)
def test_a_wrong_document_is_told_where_it_is_wrong(document: Any, complaint: str) -> None:
    with pytest.raises(BadData) as raised:
        parse(document)
    assert complaint in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"regions": }', r"not JSON: .* line 1 column 13"),
        ("[" * 100_000, r"not JSON: .*depth"),
        ('{"regions": {"cn-hangzhou": [], "cn-hangzhou": []}}', r"cn-hangzhou is there more than once"),
    ],
    ids=["a gap", "too deep", "a region twice"],
)
def test_a_file_that_is_no_json_is_told_so(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "data.json"
    file.write_text(text)
    with pytest.raises(BadData, match=complaint):
        load(file)


def test_minutes_are_a_shared_time_too() -> None:
    data = parse(image(accounts=[{"aliyun_id": "1", "shared_time": "2023-01-01T12:05Z"}]))
    assert data.image("cn-hangzhou", "m-1").accounts[0].shared_time == "2023-01-01T12:05Z"
