"""The gateway over TLS, with a certificate that a CA of the test signed."""

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ecsgateway.config import BadSetting
from ecsgateway.rpc.lister import list_accounts
from tests.conftest import IMAGE, REGION, Start


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ecsgateway test")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return cert_file, key_file


async def test_list_reads_over_tls(
    start: Start, certificate: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = certificate
    running = await start(tls_cert=cert, tls_key=key)

    code = await list_accounts(target=running.gateway.address, region_id=REGION, image_id=IMAGE, ca=cert)

    assert code == 0
    assert "1234567890" in capsys.readouterr().out


async def test_plain_text_to_the_tls_port_is_unavailable(
    start: Start, certificate: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    cert, key = certificate
    running = await start(tls_cert=cert, tls_key=key)

    code = await list_accounts(target=running.gateway.address, region_id=REGION, image_id=IMAGE, timeout=1)

    assert code == 1
    assert "error: " in capsys.readouterr().err


async def test_a_certificate_that_is_none_is_a_bad_setting(start: Start, tmp_path: Path) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(BadSetting, match="no certificate with its key"):
        await start(tls_cert=junk, tls_key=junk)
