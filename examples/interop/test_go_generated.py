"""The only generated code of the examples that is checked in."""

import subprocess

from examples.interop.stage import ROOT, need


def test_the_checked_in_go_code_is_that_of_the_protos() -> None:
    """A difference is mended by running this test and committing what it made."""
    need("go")
    folder = ROOT / "examples" / "go"

    def generated() -> dict[str, bytes]:
        files = (path for path in folder.glob("gen/**/*") if path.is_file())
        return {str(path.relative_to(folder)): path.read_bytes() for path in files}

    before = generated()
    subprocess.run(["nice", "-n", "10", "go", "generate", "./..."], cwd=folder, check=True, timeout=600)
    after = generated()
    assert [name for name in before | after if before.get(name) != after.get(name)] == []
