"""The commands of docs/clients.md, as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from examples.interop.stage import PATIENCE, ROOT, Stage

PAGE = (ROOT / "docs" / "clients.md").read_text().replace("\\\n", "")
COMMANDS = re.findall(r"^(?:grpcurl|buf curl) .+$", PAGE, re.MULTILINE)
NOT_FOUND = 64 + 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recipe_works(command: str, stage: Stage, grpcurl_program: Path) -> None:
    """Run it as a shell does, on the gateway of the tests."""
    path = os.pathsep.join(
        [str(grpcurl_program.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    ran = subprocess.run(
        ["sh", "-c", command.replace("localhost:50051", stage.target)],
        env={**os.environ, "PATH": path, "S": "ecsgateway.v1.ImageSharePermissionService"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert ran.returncode == (NOT_FOUND if "m-unknown" in command else 0), ran.stderr
