"""The commands of docs/clients.md, and grpcurl's of the README, as they stand there."""

import datetime
import ipaddress
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from examples.interop.stage import PATIENCE, ROOT, Server, Stage

NOT_FOUND = 64 + 5


def commands(page: str) -> list[str]:
    """The commands that a page shows, each in one line."""
    text = (ROOT / page).read_text().replace("\\\n", "")
    return re.findall(r"^(?:grpcurl|buf curl) .+$", text, re.MULTILINE)


@dataclass(frozen=True)
class Secured:
    """A gateway that serves TLS, and the folder of its certificate."""

    target: str
    folder: Path


@pytest.fixture(scope="module")
def secured(running: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Start one before the same upstream."""
    folder = tmp_path_factory.mktemp("tls")
    write_certificate(folder)
    files = ["--tls-cert", str(folder / "cert.pem"), "--tls-key", str(folder / "key.pem")]
    gateway = Server([*running.serve, "127.0.0.1:0", *files], folder / "ecsgateway.log")
    try:
        yield Secured(gateway.said(r"serving.*address=(\S+)"), folder)
    finally:
        gateway.kill()


def write_certificate(folder: Path) -> None:
    """Make a certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ecsgateway test")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


@pytest.mark.parametrize("command", [*commands("docs/clients.md"), *commands("README.md")])
def test_a_recipe_works(command: str, stage: Stage, secured: Secured, grpcurl_program: Path) -> None:
    """Run it as a shell does, on a gateway of the tests."""
    path = os.pathsep.join(
        [str(grpcurl_program.parent), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    target = secured.target if "-cacert" in command else stage.target
    ran = subprocess.run(
        ["sh", "-c", re.sub(r"(localhost|127\.0\.0\.1):50051", target, command)],
        cwd=secured.folder,
        env={**os.environ, "PATH": path, "S": "ecsgateway.v1.ImageSharePermissionService"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    unknown = "m-unknown" in command or "m-none" in command
    assert ran.returncode == (NOT_FOUND if unknown else 0), ran.stderr


def test_the_readme_has_two_recipes_and_one_recipe_is_over_tls() -> None:
    """None is overlooked."""
    assert len(commands("README.md")) == 2
    assert len([each for each in commands("docs/clients.md") if "-cacert cert.pem" in each]) == 1
