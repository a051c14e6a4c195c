"""Certificates for the emulator: kubectl sends a token over TLS only."""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from rolloutsim.errors import ExecutorError
from rolloutsim.lab.objects import wall_ms

__all__ = ["self_signed"]


def self_signed(directory: Path, *, days: int = 30) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1 and its key, as PEM files in a directory; returns both paths.

    days : how long it is valid from now on; a negative number makes one that has expired. The key is readable
    by its owner only. Raises ExecutorError if the package cryptography is missing.
    """
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError:
        raise ExecutorError(
            "a certificate for the emulator needs the package cryptography; pip install 'rolloutsim[lab]'"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rolloutsim-emulator")])
    now = datetime.datetime.fromtimestamp(wall_ms() / 1000, datetime.UTC)
    end = now + datetime.timedelta(days=days)
    alternatives = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, end) - datetime.timedelta(days=1))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_path, key_path = directory / "server.crt", directory / "server.key"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    with os.fdopen(os.open(key_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
    return certificate_path, key_path
