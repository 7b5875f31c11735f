"""What keeps ``ci-gate serve`` from starting: one clear line each, and exit status 1."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import paramiko
import pytest

from ci_gate.cli.main import main
from ci_gate.daemon.draining import keep, read_kept
from ci_gate.merger.claim import claimed
from ci_gate.model.event import Event
from ci_gate.sandbox.ports import free_port
from ci_gate.scheduler.inputs import EventReceived

LAYOUT = """pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: patchset-created}]}
projects: []
"""


class Place:
    """A folder with a configuration that would start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "id_ecdsa"
        paramiko.ECDSAKey.generate().write_private_key_file(str(self.key))
        self.layout = folder / "layout.yaml"
        self.layout.write_text(LAYOUT)
        self.values = {
            "gearman": {"server": "127.0.0.1", "port": free_port()},
            "gearman_server": {"start": "true", "listen_address": "127.0.0.1"},
            "gerrit": {"server": "127.0.0.1", "port": free_port(), "user": "ci", "sshkey": self.key},
            "zuul": {"layout_config": self.layout, "state_dir": folder / "state"},
            "merger": {"zuul_url": "http://127.0.0.1/p", "git_dir": folder / "git"},
            "webapp": {"listen_address": "127.0.0.1", "port": free_port()},
        }

    def serve(self, *arguments: str) -> tuple[int, list[str]]:
        """Exit status and the lines on standard error."""
        lines = []
        for section, values in self.values.items():
            lines += [f"[{section}]", *(f"{key}={value}" for key, value in values.items())]
        config = self.folder / "ci.conf"
        config.write_text("\n".join(lines) + "\n")
        command = [sys.executable, "-m", "ci_gate", "serve", "--config", str(config), *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return ended.returncode, ended.stderr.splitlines()

    def at(self, key: str) -> str:
        """Where a key stands in the file that was served: FILE:LINE."""
        config = self.folder / "ci.conf"
        lines = config.read_text().splitlines()
        return f"{config}:{next(n for n, line in enumerate(lines, 1) if line.startswith(f'{key}='))}"

    def refusal(self, *arguments: str) -> str:
        """The one line that says why it does not start."""
        status, lines = self.serve(*arguments)
        assert status == 1, lines
        said = [line for line in lines if line.startswith("ci-gate: cannot start: ") or ": error: " in line]
        assert len(said) == 1, lines
        assert "Traceback" not in "\n".join(lines)
        return said[0].removeprefix("ci-gate: cannot start: ")


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_a_key_file_that_is_not_there(place):
    place.key.unlink()
    assert place.refusal().startswith(
        f"{place.at('sshkey')}: error: [gerrit] sshkey: key file {place.key} does not exist"
    )


def test_a_key_file_that_is_no_key(place):
    place.key.write_text("not a key\n")
    assert str(place.key) in place.refusal()


def test_a_key_file_that_others_may_read(place):
    place.key.chmod(0o644)
    assert f"chmod 600 {place.key}" in place.refusal()


def test_an_error_in_the_layout(place):
    place.layout.write_text(LAYOUT.replace("patchset-created", "patchset-made"))
    refusal = place.refusal()
    assert refusal.startswith(f"{place.layout}:4:")
    assert "patchset-made" in refusal


def test_another_layout_may_be_named(place):
    refusal = place.refusal("--layout", str(place.folder / "nowhere.yaml"))
    assert "nowhere.yaml: error: cannot read the layout" in refusal


def test_where_a_layout_is_named_the_configuration_needs_none(place):
    del place.values["zuul"]["layout_config"]
    assert "[zuul] layout_config is missing" in place.refusal()
    place.layout.write_text(LAYOUT.replace("patchset-created", "patchset-made"))
    assert place.refusal("--layout", str(place.layout)).startswith(f"{place.layout}:4:")
    config = str(place.folder / "ci.conf")
    assert main(["validate", "--config", config, str(place.layout)]) == 1
    assert main(["layout", "queues", "--config", config, "--layout", str(place.layout)]) == 1
    place.layout.write_text(LAYOUT)
    assert main(["validate", "--config", config, str(place.layout)]) == 0
    assert main(["layout", "queues", "--config", config, "--layout", str(place.layout)]) == 0


def test_a_git_dir_in_which_another_merger_works(place):
    with claimed(place.folder / "git"):
        refusal = place.refusal()
    assert "another merger" in refusal
    assert "[merger] embedded = false" in refusal


def test_a_git_dir_is_no_matter_where_mergers_run_elsewhere(place):
    del place.values["merger"]["zuul_url"]
    place.values["merger"]["git_dir"] = place.key / "impossible"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place.values["webapp"]["port"] = taken.getsockname()[1]
        assert "in use" in place.refusal().lower(), "the first thing that is wrong"


def test_a_git_that_is_too_old(place, monkeypatch):
    old = place.folder / "bin" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\necho git version 2.34.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{old.parent}:{os.environ['PATH']}")
    assert "git 2.39 or newer is needed; this is git version 2.34.1" in place.refusal()


def test_a_broken_setting(place):
    place.values["webapp"]["port"] = "many"
    assert "[webapp] port" in place.refusal()


@pytest.mark.parametrize("section", ["webapp", "gearman"])
def test_a_port_that_is_taken(place, section):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place.values[section]["port"] = taken.getsockname()[1]
        refusal = place.refusal()
    assert str(place.values[section]["port"]) in refusal
    assert "in use" in refusal.lower()


def test_a_state_dir_that_cannot_be_made(place):
    (place.folder / "file").write_text("")
    place.values["zuul"]["state_dir"] = place.folder / "file" / "state"
    refusal = place.refusal()
    assert refusal.startswith(
        f"{place.at('state_dir')}: error: [zuul] state_dir: {place.folder}/file/state cannot be made"
    )


def test_a_log_config_that_is_not_there(place):
    place.values["zuul"]["log_config"] = place.folder / "logging.conf"
    refusal = place.refusal()
    assert refusal == (
        f"{place.at('log_config')}: error: [zuul] log_config: "
        f"{place.folder / 'logging.conf'}: there is no such logging configuration"
    )


def test_all_files_that_are_wrong_are_told_at_once(place):
    place.values["zuul"]["log_config"] = place.folder / "logging.conf"
    place.layout.unlink()
    status, lines = place.serve()
    assert status == 1
    assert [line.split(": error: ")[0] for line in lines] == [place.at("log_config"), str(place.layout)]


def test_a_configuration_that_is_not_there(place):
    command = [sys.executable, "-m", "ci_gate", "serve", "--config", "/no/such/ci.conf"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "/no/such/ci.conf: error: there is no such configuration file" in ended.stderr


def test_a_statsd_port_that_is_none(place, monkeypatch):
    monkeypatch.setenv("STATSD_HOST", "127.0.0.1")
    monkeypatch.setenv("STATSD_PORT", "81x25")
    assert place.refusal().startswith('STATSD_PORT: "81x25" is not a port; set it to ')


def test_a_start_that_fails_keeps_the_events_of_the_last_stop(place):
    state = place.folder / "state"
    state.mkdir()
    kept = EventReceived(5.0, Event("comment-added", "gerrit", "demo", "master", "12", "3"))
    keep(state, [kept], after=0)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        place.values["webapp"]["port"] = taken.getsockname()[1]
        assert "in use" in place.refusal().lower()
    assert [each.event for each in read_kept(state).waiting] == [kept.event]


def test_a_shadow_in_the_folders_of_a_live_service(place):
    state = place.folder / "state"
    state.mkdir()
    (state / "journal.sqlite").touch()
    assert "is that of a live service" in place.refusal("--shadow")


def test_a_shadow_that_would_merge_where_the_live_system_does(place):
    repository = place.folder / "git" / "demo"
    repository.mkdir(parents=True)
    assert "is not empty" in place.refusal("--shadow")


def test_a_live_service_in_the_folder_of_a_shadow(place):
    state = place.folder / "state"
    state.mkdir()
    (state / "shadow").touch()
    assert "is that of a shadow" in place.refusal()
