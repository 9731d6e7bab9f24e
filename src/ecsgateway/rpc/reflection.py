"""Server reflection, v1 and v1alpha, from the descriptor set with its comments.

The stock servicer has no comments, knows neither methods nor the types of error details, and has no v1.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from importlib.resources import files
from typing import Any

import grpc
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2 as reflection

DESCRIPTORS = files("ecsgateway.clients") / "descriptors.binpb"
"""The protos with their imports, as one FileDescriptorSet; ours with comments."""

_OLD, _NEW = "grpc.reflection.v1alpha", "grpc.reflection.v1"


class Reflection:
    """Answers what grpcurl, grpcui and buf ask about the services.

    Args:
        services: the full names of the services that the server has.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted({*services, f"{_OLD}.ServerReflection", f"{_NEW}.ServerReflection"})
        self._files = {file.name: file for file in _all_files()}
        self._symbols = {name: file for file in self._files.values() for name in _symbols(file)}
        self._extensions = {
            (extension.extendee.lstrip("."), extension.number): file
            for file in self._files.values()
            for extension in file.extension
        }

    def add_to(self, server: grpc.aio.Server) -> None:
        """Serve both versions: their messages are the same."""
        handler = grpc.stream_stream_rpc_method_handler(
            self._answer,
            request_deserializer=reflection.ServerReflectionRequest.FromString,
            response_serializer=reflection.ServerReflectionResponse.SerializeToString,
        )
        for package in (_OLD, _NEW):
            service = f"{package}.ServerReflection"
            server.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler}),)
            )

    async def _answer(
        self,
        requests: AsyncIterator[reflection.ServerReflectionRequest],
        _: grpc.aio.ServicerContext[Any, Any],
    ) -> AsyncIterator[reflection.ServerReflectionResponse]:
        sent: set[str] = set()
        async for request in requests:
            response = reflection.ServerReflectionResponse(valid_host=request.host, original_request=request)
            self._fill(response, request, sent)
            yield response

    def _fill(
        self,
        response: reflection.ServerReflectionResponse,
        request: reflection.ServerReflectionRequest,
        sent: set[str],
    ) -> None:
        file: FileDescriptorProto | None = None
        match request.WhichOneof("message_request"):
            case "list_services":
                names = (reflection.ServiceResponse(name=name) for name in self._services)
                response.list_services_response.service.extend(names)
                return
            case "all_extension_numbers_of_type":
                name = request.all_extension_numbers_of_type
                if name in self._symbols:
                    numbers = (number for extended, number in self._extensions if extended == name)
                    response.all_extension_numbers_response.base_type_name = name
                    response.all_extension_numbers_response.extension_number.extend(sorted(numbers))
                    return
            case "file_by_filename":
                file = self._files.get(request.file_by_filename)
            case "file_containing_symbol":
                file = self._symbols.get(request.file_containing_symbol.lstrip("."))
            case "file_containing_extension":
                asked = request.file_containing_extension
                file = self._extensions.get((asked.containing_type, asked.extension_number))
        if file is None:
            response.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
            response.error_response.error_message = "no such file, symbol or extension"
            return
        new = [each for each in self._with_imports(file) if each.name not in sent]
        sent.update(each.name for each in new)
        files_to_send = new or [file]
        response.file_descriptor_response.file_descriptor_proto.extend(
            each.SerializeToString() for each in files_to_send
        )

    def _with_imports(self, file: FileDescriptorProto) -> Iterator[FileDescriptorProto]:
        """Yield a file and all that it needs, itself first."""
        wanted, seen = [file.name], set()
        while wanted:
            name = wanted.pop(0)
            if name not in seen:
                seen.add(name)
                wanted += self._files[name].dependency
                yield self._files[name]


def _all_files() -> Iterator[FileDescriptorProto]:
    """Yield our files with comments, those that they need, and those of health and reflection."""
    yield from FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    for module in (health_pb2, reflection):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        yield file
    yield _renamed(file)


def _renamed(old: FileDescriptorProto) -> FileDescriptorProto:
    """Make reflection's v1 of its v1alpha: the names are all that differs."""
    new = FileDescriptorProto.FromString(old.SerializeToString())
    new.name, new.package = old.name.replace("v1alpha", "v1"), _NEW
    for message in new.message_type:
        for field in filter(lambda field: field.type_name, message.field):
            field.type_name = field.type_name.replace(f".{_OLD}.", f".{_NEW}.")
    for method in new.service[0].method:
        method.input_type = method.input_type.replace(f".{_OLD}.", f".{_NEW}.")
        method.output_type = method.output_type.replace(f".{_OLD}.", f".{_NEW}.")
    return new


def _symbols(file: FileDescriptorProto) -> Iterator[str]:
    """Yield the full names of all that a file declares."""
    prefix = f"{file.package}." if file.package else ""
    for message in file.message_type:
        yield from _symbols_of(message, prefix)
    for enum in file.enum_type:
        yield prefix + enum.name
        yield from (f"{prefix}{value.name}" for value in enum.value)
        yield from (f"{prefix}{enum.name}.{value.name}" for value in enum.value)
    for extension in file.extension:
        yield prefix + extension.name
    for service in file.service:
        yield prefix + service.name
        yield from (f"{prefix}{service.name}.{method.name}" for method in service.method)


def _symbols_of(message: DescriptorProto, prefix: str) -> Iterator[str]:
    yield prefix + message.name
    inner = f"{prefix}{message.name}."
    yield from (inner + field.name for field in message.field)
    yield from (inner + oneof.name for oneof in message.oneof_decl)
    for nested in message.nested_type:
        yield from _symbols_of(nested, inner)
    for enum in message.enum_type:
        yield inner + enum.name
        yield from (inner + value.name for value in enum.value)
        yield from (f"{inner}{enum.name}.{value.name}" for value in enum.value)
