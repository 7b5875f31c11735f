"""``[gearman]`` and ``[gearman_server]``: several servers, and certificates."""

from __future__ import annotations

import pytest

from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import read_gearman_settings, read_job_server_settings
from ci_gate.job_servers import TlsFiles

TLS = "ssl_key=/k\nssl_cert=/c\nssl_ca=/a\n"


@pytest.fixture
def read(tmp_path):
    def reading(text: str, reader=read_gearman_settings):
        path = tmp_path / "ci.conf"
        path.write_text(text)
        return reader(path)[0]

    return reading


def errors(read, text: str) -> list[str]:
    with pytest.raises(RefusedError) as refused:
        read(text)
    return [each.text for each in refused.value.problems if each.level is Level.ERROR]


@pytest.mark.parametrize(
    ("text", "servers"),
    [
        ("a", [("a", 4730)]),
        ("a:4731", [("a", 4731)]),
        ("a, b:4731 ,c", [("a", 4730), ("b", 4731), ("c", 4730)]),
        ("::1", [("::1", 4730)]),
        ("[::1]", [("::1", 4730)]),
        ("[::1]:4731,fe80::2", [("::1", 4731), ("fe80::2", 4730)]),
        ("a,", [("a", 4730)]),
    ],
)
def test_a_server_is_a_host_or_several_with_ports_of_their_own(read, text, servers):
    assert list(read(f"[gearman]\nserver={text}\n").servers) == servers


def test_hosts_without_a_port_are_at_the_port_of_the_section(read):
    assert read("[gearman]\nserver=a,b:1\nport=99\n").servers == (("a", 99), ("b", 1))


@pytest.mark.parametrize("text", ["a:", "a:x", ":4730", "a:0", "a:65536", "a,b:x"])
def test_what_is_no_server_is_named(read, text):
    (error,) = errors(read, f"[gearman]\nserver={text}\n")
    wrong = text.rpartition(",")[2]
    assert error == f'[gearman] server: "{wrong}" is not HOST or HOST:PORT'


def test_certificates_are_read_for_both_sides(read):
    assert read(f"[gearman]\nserver=a\n{TLS}").tls is not None
    assert read("[gearman]\nserver=a\n").tls is None
    own = read(f"[gearman_server]\n{TLS}", read_job_server_settings)
    assert own.tls is not None
    assert isinstance(own.tls, TlsFiles)
    assert own.tls.section == "gearman_server"


def test_a_certificate_alone_is_refused_with_what_is_missing(read):
    assert errors(read, "[gearman]\nserver=a\nssl_cert=/c\n") == [
        f"[gearman] {name} is missing: ssl_cert needs it; give ssl_key, ssl_cert and ssl_ca, or none of them"
        for name in ("ssl_key", "ssl_ca")
    ]


@pytest.mark.parametrize(("having", "lacking"), [("gearman", "gearman_server"), ("gearman_server", "gearman")])
def test_one_side_of_the_built_in_server_alone_cannot_work(read, having, lacking):
    sections = {"gearman": "", "gearman_server": "start=true\n"}
    sections[having] += TLS
    (error,) = errors(read, "".join(f"[{name}]\n{text}" for name, text in sections.items()))
    assert error.startswith(f"[{lacking}] ssl_key, ssl_cert and ssl_ca are missing: [{having}] has them")
