"""Bytes that are no request get a status like any other."""

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from ecsgateway.rpc.health import SERVICE
from tests.conftest import Running


@pytest.mark.parametrize("method", ["DescribeImageSharePermission", "StreamImageSharePermission"])
async def test_bytes_that_are_no_request_are_an_invalid_request(running: Running, method: str) -> None:
    call: Any = running.channel.unary_stream(f"/{SERVICE}/{method}")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await anext(aiter(call(b"\xff\xff\xff")))

    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(raised.value)  # type: ignore[arg-type] # it has what a call has
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details)
    assert info.reason == "INVALID_REQUEST"
    assert "Error parsing" not in status.message
