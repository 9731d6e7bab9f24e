"""Which module may import which: the table is the architecture, and an edge that is not in it fails."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

OURS = {
    "mapping": set[str](),
    "errors": {"mapping"},
    "deadline": set[str](),
    "translation": {"errors", "v1"},
    "resume": {"errors", "mapping"},
    "prefetch": {"errors", "mapping", "v1"},
    "idset": set[str](),
    "passes": {"idset", "v1"},
    "reading": {"errors", "mapping", "passes", "prefetch", "v1"},
    "pagination": {"deadline", "errors", "mapping", "passes", "prefetch", "reading", "resume", "v1"},
    "ecs": {"deadline", "ecs", "errors", "mapping"},
    "config": {"ecs"},
    "clients": {"clients", "config"},
    "rpc": {
        *("clients", "config", "deadline", "ecs", "errors", "mapping", "pagination", "prefetch", "resume"),
        *("rpc", "translation", "v1"),
    },
    "cli": {"clients", "config", "rpc"},
    "__main__": {"cli"},
    "__init__": set[str](),
}
"""For each module or folder of ecsgateway, the ones that it may import."""

FENCED = {
    "grpc": {"rpc", "v1"},
    "grpc_health": {"rpc"},
    "grpc_reflection": {"rpc"},
    "grpc_status": {"rpc"},
    "httpx": {"ecs", "rpc"},
    "aiohttp": {"ecs"},
    "alibabacloud_credentials": {"ecs"},
    "defusedxml": {"ecs"},
    "pydantic": {"config"},
    "pydantic_settings": {"config"},
    "structlog": {"rpc"},
    "logging": {"ecs", "rpc"},
    "fakeecs": {"rpc"},
}
"""Libraries that only some of them may import; the fake only for the demo."""


def _imports() -> list[tuple[str, str, str]]:
    """Every import of ecsgateway's own code: the file, its module or folder, the module that it imports."""
    found = []
    for file in sorted((SOURCE / "ecsgateway").rglob("*.py")):
        relative = file.relative_to(SOURCE / "ecsgateway")
        unit = relative.parts[0].removesuffix(".py")
        if unit == "v1":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                found.append((str(relative), unit, node.module))
            elif isinstance(node, ast.Import):
                found += [(str(relative), unit, alias.name) for alias in node.names]
    return found


IMPORTS = _imports()


def test_there_is_something_to_check() -> None:
    assert len(IMPORTS) > 100


@pytest.mark.parametrize(("file", "unit", "module"), IMPORTS, ids=lambda value: str(value))
def test_an_import_is_in_the_table(file: str, unit: str, module: str) -> None:
    top, _, rest = module.partition(".")
    if top == "ecsgateway":
        assert rest.partition(".")[0] in OURS[unit], file
    elif top in FENCED:
        assert unit in FENCED[top], file


def test_the_fake_imports_nothing_from_the_gateway() -> None:
    for file in (SOURCE / "fakeecs").rglob("*.py"):
        assert "ecsgateway" not in file.read_text(), file


def test_only_config_reads_the_environment() -> None:
    readers = {
        file.name for file in (SOURCE / "ecsgateway").rglob("*.py") if "os.environ" in file.read_text()
    }
    assert readers == {"config.py"}


def test_the_table_names_no_module_that_is_gone() -> None:
    units = {path.name.removesuffix(".py") for path in (SOURCE / "ecsgateway").iterdir()}
    assert set(OURS) <= units
