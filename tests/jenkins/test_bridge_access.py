"""How the bridge gets at a Jenkins: certificates, and where tokens lie."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jenkins_parts import Site, when
from structlog.testing import capture_logs

from ci_gate.config.settings import JenkinsSettings
from ci_gate.jenkins.secrets import TokenError, token_of

DAY = datetime.timedelta(days=1)


@dataclass
class Certificate:
    """Signed by itself, for 127.0.0.1."""

    file: Path
    served: ssl.SSLContext


@pytest.fixture
def certificate(tmp_path) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jenkins")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY)
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, key_file = tmp_path / "jenkins.pem", tmp_path / "jenkins.key"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    served.load_cert_chain(file, key_file)
    return Certificate(file, served)


def over_tls(certificate: Certificate, **settings) -> Site:
    site = Site(**settings)
    site.jenkins.add("unit")
    site.jenkins.tls = certificate.served
    return site


async def test_a_certificate_of_the_sites_own_is_trusted_if_it_is_named(certificate):
    async with over_tls(certificate, ca_file=certificate.file) as site:
        unique = site.launch()
        (build,) = await site.running()
        build.end()
        assert (await site.end(unique)).result == "SUCCESS"


async def test_nothing_is_told_to_a_jenkins_whose_certificate_is_not_trusted(certificate, monkeypatch):
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")  # python-jenkins would take that for leave not to look
    with capture_logs() as lines:
        async with over_tls(certificate) as site:
            site.launch()
            refused = await when(
                lambda: [each for each in lines if each["event"] == "Jenkins refuses us, builds wait"], "a warning"
            )
            assert not site.ends, "the build waits"
    assert "certificate is not trusted" in refused[0]["reason"]
    assert not site.jenkins.requests, "no user and no token got there"


def test_a_token_comes_from_systemds_credentials_where_no_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = JenkinsSettings("main", "http://127.0.0.1:1", user="gate")
    with pytest.raises(TokenError, match="jenkins-main cannot be read: No such file"):
        token_of(settings)
    (tmp_path / "jenkins-main").write_text("token-1\n")
    assert token_of(settings) == "token-1"


def test_without_a_place_to_look_for_the_token_both_are_named(monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(TokenError, match=r"set token_file, or give the unit LoadCredential=jenkins-main:"):
        token_of(JenkinsSettings("main", "http://127.0.0.1:1", user="gate"))
