"""Writes what a client needs into a folder."""

from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from shutil import copyfile

from ecsgateway.config import BadSetting


def export(directory: Path) -> Iterator[Path]:
    """Write the protos with their imports, the descriptor set and the service config; yield what was written.

    Raises:
        BadSetting: the folder cannot be written.
    """
    with as_file(files("ecsgateway.clients")) as source:
        wanted = [*sorted((source / "protos").rglob("*.proto")), source / "descriptors.binpb"]
        for file in [*wanted, source / "service_config.json"]:
            target = directory / file.relative_to(source)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                copyfile(file, target)
            except OSError as error:
                raise BadSetting(f"cannot write {target}: {error.strerror}") from None
            yield target
