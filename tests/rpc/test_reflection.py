"""Reflection as grpcurl, grpcui and buf use it: both versions, comments, error details."""

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.reflection_pb2 import (
    ExtensionRequest,
    ServerReflectionRequest,
    ServerReflectionResponse,
)

from tests.conftest import Running

SERVICE = "ecsgateway.v1.ImageSharePermissionService"
VERSIONS = pytest.mark.parametrize("version", ["v1", "v1alpha"])


async def _ask(
    running: Running, *requests: ServerReflectionRequest, version: str = "v1"
) -> list[ServerReflectionResponse]:
    call = running.channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )

    async def all_requests() -> AsyncIterator[ServerReflectionRequest]:
        for request in requests:
            yield request

    return [response async for response in call(all_requests())]


def _files(response: ServerReflectionResponse) -> dict[str, FileDescriptorProto]:
    parsed = map(FileDescriptorProto.FromString, response.file_descriptor_response.file_descriptor_proto)
    return {file.name: file for file in parsed}


@VERSIONS
async def test_it_lists_every_service(running: Running, version: str) -> None:
    [response] = await _ask(running, ServerReflectionRequest(list_services=""), version=version)
    assert [service.name for service in response.list_services_response.service] == [
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]


@pytest.mark.parametrize(
    "symbol",
    [
        pytest.param(SERVICE, id="service"),
        pytest.param(f"{SERVICE}.StreamImageSharePermission", id="method"),
        pytest.param("ecsgateway.v1.Account", id="message"),
        pytest.param("ecsgateway.v1.Account.shared_time", id="field"),
        pytest.param("ecsgateway.v1.Consistency", id="enum"),
        pytest.param("ecsgateway.v1.CONSISTENCY_VERIFIED", id="enum-value"),
        pytest.param("ecsgateway.v1.ErrorReason", id="error-reason"),
        pytest.param("ecsgateway.v1.StreamInterruption", id="our-detail"),
        pytest.param("google.rpc.ErrorInfo", id="google-detail"),
        pytest.param("google.rpc.QuotaFailure.Violation.quota_dimensions", id="nested-field"),
        pytest.param("buf.validate.field", id="extension"),
        pytest.param("grpc.health.v1.Health.Check", id="health"),
        pytest.param("grpc.reflection.v1.ServerReflection", id="reflection-v1"),
    ],
)
async def test_a_symbol_is_found_with_all_that_its_file_imports(running: Running, symbol: str) -> None:
    [response] = await _ask(running, ServerReflectionRequest(file_containing_symbol=symbol))
    files = _files(response)
    for file in files.values():
        assert set(file.dependency) <= set(files)
    pool = DescriptorPool()
    for file in reversed(_in_order(files)):
        pool.Add(file)


def _in_order(files: dict[str, FileDescriptorProto]) -> list[FileDescriptorProto]:
    """Sort files so that each comes before those that it imports."""
    ordered: list[FileDescriptorProto] = []

    def visit(file: FileDescriptorProto) -> None:
        if file not in ordered:
            for name in file.dependency:
                visit(files[name])
            ordered.append(file)

    for file in files.values():
        visit(file)
    return ordered[::-1]


async def test_our_files_have_their_comments_and_vendored_ones_none(running: Running) -> None:
    [response] = await _ask(running, ServerReflectionRequest(file_containing_symbol=SERVICE))
    files = _files(response)
    own = files["ecsgateway/v1/image_share_permission.proto"].source_code_info
    assert any("with whom a custom image" in location.leading_comments for location in own.location)
    assert not files["buf/validate/validate.proto"].HasField("source_code_info")


async def test_a_file_is_sent_once_on_a_stream(running: Running) -> None:
    first, second = await _ask(
        running,
        ServerReflectionRequest(file_containing_symbol=SERVICE),
        ServerReflectionRequest(file_by_filename="google/protobuf/timestamp.proto"),
    )
    assert len(_files(first)) > 1
    assert list(_files(second)) == ["google/protobuf/timestamp.proto"]


async def test_a_type_without_extensions_has_an_empty_list_of_them(running: Running) -> None:
    request = ServerReflectionRequest(all_extension_numbers_of_type="google.rpc.ErrorInfo")
    [response] = await _ask(running, request)
    assert response.all_extension_numbers_response.base_type_name == "google.rpc.ErrorInfo"
    assert not response.all_extension_numbers_response.extension_number


async def test_extensions_are_listed_and_found(running: Running) -> None:
    options = "google.protobuf.FieldOptions"
    listed, found = await _ask(
        running,
        ServerReflectionRequest(all_extension_numbers_of_type=options),
        ServerReflectionRequest(
            file_containing_extension=ExtensionRequest(containing_type=options, extension_number=1052)
        ),
    )
    assert listed.all_extension_numbers_response.extension_number == [1052, 1159, 1160]
    assert "google/api/field_behavior.proto" in _files(found)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(ServerReflectionRequest(file_containing_symbol="no.such.Symbol"), id="symbol"),
        pytest.param(ServerReflectionRequest(file_by_filename="no/such.proto"), id="file"),
        pytest.param(ServerReflectionRequest(all_extension_numbers_of_type="no.Such"), id="type"),
        pytest.param(
            ServerReflectionRequest(
                file_containing_extension=ExtensionRequest(containing_type="no.Such", extension_number=1)
            ),
            id="extension",
        ),
        pytest.param(ServerReflectionRequest(), id="nothing-asked"),
    ],
)
async def test_what_is_not_there_is_an_error_response_and_the_stream_goes_on(
    running: Running, request_: ServerReflectionRequest
) -> None:
    missing, listed = await _ask(running, request_, ServerReflectionRequest(list_services=""))
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert listed.HasField("list_services_response")
