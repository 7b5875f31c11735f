"""Fixtures for the tests of the Gerrit adapter."""

import pytest
from gerrit_parts import PROJECT, settings_for
from rest_double import RestDouble

from ci_gate.gerrit import attempts
from ci_gate.gerrit.commands import CommandPool
from ci_gate.gerrit.ssh_access import SshAccess
from ci_gate.sandbox.gerrit import SandboxGerrit


@pytest.fixture
def gerrit(tmp_path):
    """A Gerrit with a CI account, a developer and one project."""
    with SandboxGerrit(tmp_path / "gerrit") as running:
        running.create_account("ci", votes={"Verified": (-1, 1)})
        running.create_account("dev", may_push=True, may_abandon=True)
        running.create_project(PROJECT, {"README": "x\n"})
        yield running
        running.faults.clear()


@pytest.fixture
async def pool(gerrit):
    made = CommandPool(settings_for(gerrit))
    yield made
    await made.close()


@pytest.fixture
async def access(gerrit):
    made = SshAccess(settings_for(gerrit))
    yield made
    await made.close()


@pytest.fixture
def change(gerrit):
    return gerrit.create_change(PROJECT, {"file": "x\n"}, "Change something\n", by="dev")


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """The usual pause between two connections is for servers of others; and nobody's own SSH files are looked at."""
    monkeypatch.setattr(attempts, "SPACING_S", 0.0)
    monkeypatch.setattr(attempts, "ATTEMPTS", attempts.Attempts())
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
async def double():
    """A Gerrit that speaks HTTP, and does what it is told."""
    made = RestDouble()
    await made.start()
    yield made
    await made.stop()
