import pytest
from alibabacloud_ecs20140526.client import Client
from alibabacloud_tea_openapi.utils import Utils
from alibabacloud_tea_openapi.utils_models import Config
from aliyunsdkecs.endpoint import EndpointData

from ecsgateway.ecs.endpoints import Network, endpoint_host

OFFICIAL_MAP: dict[str, str] = Client(
    Config(access_key_id="testid", access_key_secret="testsecret", region_id="cn-hangzhou")
)._endpoint_map
REGULAR = [
    "cn-qingdao",
    "cn-beijing",
    "cn-hongkong",
    "cn-beijing-finance-1",
    "ap-southeast-6",
    "me-central-1",
]


def test_the_official_sdks_agree_on_35_irregular_regions() -> None:
    assert len(OFFICIAL_MAP) == 35
    assert EndpointData().getEndpointMap() == OFFICIAL_MAP


@pytest.mark.parametrize("region_id", sorted(OFFICIAL_MAP))
def test_an_irregular_region_has_the_host_of_the_official_sdk(region_id: str) -> None:
    assert endpoint_host(region_id) == OFFICIAL_MAP[region_id]


@pytest.mark.parametrize("region_id", [*REGULAR, "xx-foo-9", "a", "7"])
def test_every_other_region_has_a_host_of_its_own(region_id: str) -> None:
    assert endpoint_host(region_id) == Utils.get_endpoint_rules("ecs", region_id, "regional", None)


@pytest.mark.parametrize(
    ("region_id", "network", "host"),
    [
        pytest.param("cn-hangzhou", Network.PUBLIC, "ecs-cn-hangzhou.aliyuncs.com", id="hangzhou"),
        pytest.param("cn-shanghai", Network.PUBLIC, "ecs.cn-shanghai.aliyuncs.com", id="regular"),
        pytest.param("cn-shanghai-finance-1", Network.PUBLIC, "ecs-cn-hangzhou.aliyuncs.com", id="finance"),
        pytest.param("cn-north-2-gov-1", Network.PUBLIC, "ecs.aliyuncs.com", id="government"),
        pytest.param("cn-edge-1", Network.PUBLIC, "ecs.cn-qingdao-nebula.aliyuncs.com", id="edge"),
        pytest.param(
            "cn-zhangjiakou-na62-a01", Network.PUBLIC, "ecs.cn-zhangjiakou.aliyuncs.com", id="zhangjiakou"
        ),
        pytest.param(
            "eu-west-1-oxs", Network.PUBLIC, "ecs.cn-shenzhen-cloudstone.aliyuncs.com", id="cloudstone"
        ),
        pytest.param("cn-hangzhou", Network.VPC, "ecs-vpc.cn-hangzhou.aliyuncs.com", id="hangzhou-vpc"),
        pytest.param("cn-shanghai", Network.VPC, "ecs-vpc.cn-shanghai.aliyuncs.com", id="regular-vpc"),
    ],
)
def test_a_region_and_a_network_name_a_host(region_id: str, network: Network, host: str) -> None:
    assert endpoint_host(region_id, network=network) == host


@pytest.mark.parametrize("region_id", [*sorted(OFFICIAL_MAP), *REGULAR])
def test_a_vpc_host_is_regular_even_where_the_public_one_is_not(region_id: str) -> None:
    assert endpoint_host(region_id, network=Network.VPC) == f"ecs-vpc.{region_id}.aliyuncs.com"


@pytest.mark.parametrize("network", Network)
def test_the_longest_label_of_a_host_name_is_a_region(network: Network) -> None:
    assert "a" * 63 in endpoint_host("a" * 63, network=network)


@pytest.mark.parametrize("network", Network)
@pytest.mark.parametrize(
    "region_id",
    [
        pytest.param("", id="empty"),
        pytest.param("cn-hangzhou.evil.com/", id="another-host-and-a-path"),
        pytest.param("evil.com", id="dot"),
        pytest.param("x@evil.com", id="user-info"),
        pytest.param("cn-hangzhou:8080", id="port"),
        pytest.param("cn-hangzhou/", id="slash"),
        pytest.param("cn-hangzhou\\", id="backslash"),
        pytest.param("cn-hangzhou?", id="query"),
        pytest.param("cn-hangzhou#", id="fragment"),
        pytest.param("cn-hangzhou%2e", id="percent"),
        pytest.param("cn_hangzhou", id="underscore"),
        pytest.param("cn hangzhou", id="inner-space"),
        pytest.param(" cn-hangzhou", id="leading-space"),
        pytest.param("cn-hangzhou\n", id="trailing-newline"),
        pytest.param("cn-hangzhou\r\nx-acs-action: DeleteImage", id="header-injection"),
        pytest.param("cn-hangzhou\0", id="nul"),
        pytest.param("CN-Hangzhou", id="upper-case"),
        pytest.param("cn-Hangzhou", id="inner-upper-case"),
        pytest.param("\uff43\uff4e-hangzhou", id="fullwidth-letters"),
        pytest.param("cn-hangzhou-\uff11", id="fullwidth-digit"),
        pytest.param("cn\uff0ehangzhou", id="fullwidth-full-stop"),
        pytest.param("cn-h\u0430ngzhou", id="cyrillic-letter"),
        pytest.param("cn-\u0663", id="arabic-digit"),
        pytest.param("-cn-hangzhou", id="leading-hyphen"),
        pytest.param("cn-hangzhou-", id="trailing-hyphen"),
        pytest.param("-", id="only-a-hyphen"),
        pytest.param("a" * 64, id="64-characters"),
    ],
)
def test_what_cannot_be_one_label_of_a_host_name_is_refused(region_id: str, network: Network) -> None:
    with pytest.raises(ValueError, match="not a region"):
        endpoint_host(region_id, network=network)
