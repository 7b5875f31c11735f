"""Getting in: keys, host keys, and everything that can be wrong with them, each one clear line."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
import time

import paramiko
import pytest
from gerrit_parts import settings_for

from ci_gate.gerrit import connection as connection_module
from ci_gate.gerrit.connection import AccountRefusedError, ConnectionFailedError, check_key, connect


def become_another_host(gerrit) -> None:
    gerrit.change_host_key()
    gerrit.stop()
    gerrit.start()


def refused(settings, kind=ConnectionFailedError) -> str:
    with pytest.raises(kind) as problem:
        connect(settings)
    assert "\n" not in str(problem.value)
    return str(problem.value)


def test_an_unknown_host_key_is_recorded_and_then_known(gerrit):
    settings = settings_for(gerrit)
    connect(settings).close()
    recorded = settings.accepted_hosts.read_text()
    assert recorded.startswith(f"[127.0.0.1]:{gerrit.port} ")
    connect(settings).close()
    assert settings.accepted_hosts.read_text() == recorded


def test_a_changed_host_key_is_refused_and_the_named_command_mends_it(gerrit):
    settings = settings_for(gerrit)
    connect(settings).close()
    become_another_host(gerrit)
    text = refused(settings)
    assert "has CHANGED" in text
    command = text.split("forget the old key with: ")[1]
    subprocess.run(shlex.split(command), check=True, capture_output=True)
    connect(settings).close()


def test_an_unknown_host_key_is_refused_where_only_known_ones_are_wanted(gerrit):
    settings = settings_for(gerrit, host_key_check="yes")
    text = refused(settings)
    assert f"ssh-keyscan -p {gerrit.port} 127.0.0.1" in text
    assert not settings.accepted_hosts.exists()
    key = gerrit.host_key
    settings.known_hosts.write_text(f"[127.0.0.1]:{gerrit.port} {key.get_name()} {key.get_base64()}\n")
    connect(settings).close()


def test_any_host_key_will_do_where_none_is_checked(gerrit):
    settings = settings_for(gerrit, host_key_check="no")
    connect(settings).close()
    become_another_host(gerrit)
    connect(settings).close()
    assert not settings.accepted_hosts.exists()


def test_an_account_that_gerrit_does_not_know_is_refused_with_the_key_that_was_tried(gerrit):
    text = refused(settings_for(gerrit, user="nobody"), AccountRefusedError)
    assert "does not let user nobody in" in text
    assert "SHA256:" in text


def test_a_gerrit_that_does_not_run_is_named(gerrit):
    gerrit.stop()
    assert f"cannot reach Gerrit at 127.0.0.1:{gerrit.port}" in refused(settings_for(gerrit))


def test_one_that_accepts_and_says_nothing_is_given_up_in_time(gerrit, monkeypatch):
    monkeypatch.setattr(connection_module, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = settings_for(gerrit, port=silent.getsockname()[1])
        began = time.monotonic()
        assert "no SSH session" in refused(settings)
        assert time.monotonic() - began < 5


def test_a_key_that_is_not_there(gerrit, tmp_path):
    assert "does not exist" in check_key(settings_for(gerrit, sshkey=tmp_path / "none"))


def test_a_key_that_is_none(gerrit, tmp_path):
    (tmp_path / "key").write_text("hello\n")
    (tmp_path / "key").chmod(0o600)
    assert "not a private key" in check_key(settings_for(gerrit, sshkey=tmp_path / "key"))


def test_a_key_that_others_may_read(gerrit):
    key = gerrit.key_file("ci")
    key.chmod(0o640)
    assert check_key(settings_for(gerrit)) == f"key file {key} may be read by others; try: chmod 600 {key}"


def test_a_key_with_a_passphrase(gerrit, tmp_path):
    path = tmp_path / "key"
    paramiko.ECDSAKey.generate().write_private_key_file(str(path), password="secret")
    text = check_key(settings_for(gerrit, sshkey=path))
    assert "is encrypted" in text
    assert f"ssh-keygen -p -N '' -f {path}" in text


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_key_that_we_may_not_read(gerrit):
    gerrit.key_file("ci").chmod(0)
    assert "cannot be read by user" in check_key(settings_for(gerrit))


def test_a_good_key_is_fine(gerrit):
    assert check_key(settings_for(gerrit)) is None


async def test_the_pool_opens_its_connection_again(gerrit, pool):
    assert (await pool.run("gerrit version", deadline_s=5)).stdout.startswith("gerrit version")
    gerrit.drop_connections()
    assert (await pool.run("gerrit version", deadline_s=5, repeatable=True)).exit_status == 0


async def test_a_stuck_command_holds_up_no_other(gerrit, pool, change):
    gerrit.faults.stall("query")
    stuck = asyncio.create_task(pool.run("gerrit query --format json 'change:1'", deadline_s=3, repeatable=False))
    await asyncio.sleep(0)
    began = time.monotonic()
    answers = await asyncio.gather(*(pool.run("gerrit version", deadline_s=5) for _ in range(20)))
    assert all(each.exit_status == 0 for each in answers)
    assert time.monotonic() - began < 3
    with pytest.raises(Exception, match="deadline"):
        await stuck


async def test_more_commands_than_channels_wait_their_turn(gerrit, pool):
    answers = await asyncio.gather(*(pool.run("gerrit version", deadline_s=10) for _ in range(50)))
    assert len(answers) == 50
    assert len(gerrit.connections) == 1
