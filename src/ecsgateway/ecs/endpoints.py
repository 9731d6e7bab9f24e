"""The host that answers for a region."""

import re
from enum import StrEnum


class Network(StrEnum):
    """Where the host is reached from."""

    PUBLIC = "public"
    VPC = "vpc"


def endpoint_host(region_id: str, *, network: Network = Network.PUBLIC) -> str:
    """Name the host of ECS for a region.

    Most regions follow a rule. The table holds the 35 that do not, on the public network only.
    A region that nobody has heard of follows the rule as well: Alibaba opens new ones.

    Raises:
        ValueError: the region cannot be one label of a host name.

    Source: Alibaba Cloud, "Endpoints" of ECS, and the map in alibabacloud_ecs20140526 7.11.8.
    """
    if not _LABEL.fullmatch(region_id):
        raise ValueError(f"not a region: {region_id!r}")
    if network is Network.VPC:
        return f"ecs-vpc.{region_id}.aliyuncs.com"
    return _IRREGULAR.get(region_id, f"ecs.{region_id}.aliyuncs.com")


_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035, section 2.3.4: at most 63 octets

_IRREGULAR = {
    **dict.fromkeys(
        (
            "cn-beijing-nu16-b01",
            "cn-fujian",
            "cn-haidian-cm12-c01",
            "cn-hangzhou",
            "cn-hangzhou-bj-b01",
            "cn-hangzhou-internal-prod-1",
            "cn-hangzhou-internal-test-1",
            "cn-hangzhou-internal-test-2",
            "cn-hangzhou-internal-test-3",
            "cn-hangzhou-test-306",
            "cn-shanghai-et15-b01",
            "cn-shanghai-et2-b01",
            "cn-shanghai-finance-1",
            "cn-shanghai-internal-test-1",
            "cn-shenzhen-finance-1",
            "cn-shenzhen-st4-d01",
            "cn-shenzhen-su18-b01",
            "cn-zhangbei-na61-b01",
        ),
        "ecs-cn-hangzhou.aliyuncs.com",
    ),
    **dict.fromkeys(
        (
            "ap-northeast-2-pop",
            "cn-beijing-finance-pop",
            "cn-beijing-gov-1",
            "cn-hangzhou-finance",
            "cn-hongkong-finance-pop",
            "cn-north-2-gov-1",
            "cn-shanghai-inner",
            "cn-shenzhen-inner",
            "cn-wuhan",
            "cn-yushanfang",
            "cn-zhangbei",
            "rus-west-1-pop",
        ),
        "ecs.aliyuncs.com",
    ),
    **dict.fromkeys(
        ("cn-edge-1", "cn-huhehaote-nebula-1", "cn-zhengzhou-nebula-1"),
        "ecs.cn-qingdao-nebula.aliyuncs.com",
    ),
    "cn-zhangjiakou-na62-a01": "ecs.cn-zhangjiakou.aliyuncs.com",
    "eu-west-1-oxs": "ecs.cn-shenzhen-cloudstone.aliyuncs.com",
}
