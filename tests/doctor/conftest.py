"""Fixtures of the doctor's tests: a site, with and without a simulated Gerrit."""

import pytest
from doctor_parts import DoctorSite
from web_gerrit import WebGerrit

from ci_gate.sandbox.gerrit import SandboxGerrit


@pytest.fixture
def bare_site(tmp_path):
    """Nothing of what it names is there."""
    return DoctorSite(tmp_path)


@pytest.fixture
def gerrit(tmp_path):
    with SandboxGerrit(tmp_path / "gerrit") as running:
        running.create_account("ci", votes={"Verified": (-1, 1)})
        running.create_account("dev")
        running.create_project("demo/app", {"README": "x\n"})
        yield running
        running.faults.clear()


@pytest.fixture
def site(bare_site, gerrit):
    """With a Gerrit as an operator wants it."""
    bare_site.values["gerrit"] |= {"port": str(gerrit.port), "sshkey": str(gerrit.key_file("ci"))}
    return bare_site


@pytest.fixture
async def web_gerrit(bare_site):
    """At the site's ``baseurl``."""
    made = WebGerrit()
    bare_site.values["gerrit"]["baseurl"] = await made.start()
    yield made
    await made.stop()
