"""The simulated Gerrit as a server: log-in, host keys, faults on demand, load, and a clean end."""

import concurrent.futures
import socket
import statistics
import subprocess
import threading
import time

import paramiko
import pytest

from ci_gate.sandbox.gerrit import SandboxGerrit, SiteSettings


def test_it_tells_its_version_and_its_projects(gerrit, ci):
    gerrit.create_project("demo/beta")
    assert ci.run("gerrit version").stdout == "gerrit version 3.13.0\n"
    assert ci.run("gerrit ls-projects").stdout == "demo/alpha\ndemo/beta\n"


@pytest.mark.parametrize("command", ["gerrit nosuch", "ls -l", "gerrit", "query", "gerrit version --nosuch"])
def test_an_unknown_command_is_refused(ci, command):
    answer = ci.run(command)
    assert answer.exit_status == 1
    assert answer.stderr.startswith("fatal: ")


def test_what_arrived_can_be_read_back(gerrit, ci):
    before = time.monotonic()
    ci.run("gerrit version")
    received = gerrit.received[-1]
    assert (received.username, received.line) == ("ci-gate", "gerrit version")
    assert before <= received.at <= time.monotonic()


@pytest.mark.parametrize("username", ["ci-gate", "nobody"])
def test_a_wrong_key_and_an_unknown_user_are_not_let_in(gerrit, connect, username):
    with pytest.raises(paramiko.AuthenticationException):
        connect(username, key=gerrit.key_file("dev"))


@pytest.mark.parametrize(("kind", "bits"), [("ed25519", "256"), ("rsa", "2048"), ("ecdsa", "384")])
def test_accounts_may_have_keys_of_all_usual_kinds(gerrit, connect, tmp_path, kind, bits):
    path = tmp_path / kind
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-b", bits, "-N", "", "-f", path], check=True)
    gerrit.create_account("somebody", key_file=path)
    assert connect("somebody").run("gerrit version").exit_status == 0


def test_the_host_key_stays_over_a_restart_unless_it_is_changed(gerrit):
    def offered():
        transport = paramiko.Transport(("127.0.0.1", gerrit.port))
        transport.start_client(timeout=10)
        try:
            return transport.get_remote_server_key()
        finally:
            transport.close()

    first, port = offered(), gerrit.port
    gerrit.stop()
    gerrit.start()
    assert (offered(), gerrit.port) == (first, port)
    gerrit.stop()
    gerrit.change_host_key()
    gerrit.start()
    assert offered() != first


def test_changes_live_through_a_restart(gerrit, connect):
    gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev")
    gerrit.stop()
    gerrit.start()
    assert connect("dev").run("gerrit query --format json 1").rows[0]["number"] == 1


def test_dropped_connections_end_streams_and_leave_the_port_open(gerrit, ci, connect):
    stream = ci.stream()
    gerrit.drop_connections()
    assert stream.ended.wait(10)
    assert (gerrit.listeners, gerrit.connections) == (0, [])
    assert connect("ci-gate").run("gerrit version").exit_status == 0


def test_a_user_has_a_limited_number_of_connections(tmp_path, connect):
    settings = SiteSettings(max_connections_per_user=2)
    with SandboxGerrit(tmp_path / "strict", settings) as strict:
        strict.create_account("dev")
        strict.create_account("core")
        for _ in range(2):
            connect("dev", strict)
        with pytest.raises((paramiko.SSHException, EOFError)):
            connect("dev", strict)
        connect("core", strict)
        assert strict.connections == ["core", "dev", "dev"]


def test_a_review_can_be_made_to_fail_a_number_of_times(gerrit, ci):
    gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev")
    gerrit.faults.fail("review", "fatal: internal server error while reviewing 1,1", times=2)
    answers = [ci.run("gerrit review --verified 1 1,1") for _ in range(3)]
    assert [answer.exit_status for answer in answers] == [1, 1, 0]
    assert answers[0].stderr == "fatal: internal server error while reviewing 1,1\n"


def start(client, command):
    channel = client.ssh.get_transport().open_session()
    channel.settimeout(10)
    channel.exec_command(command)
    return channel


def test_a_reply_can_stop_in_the_middle_while_others_are_served(gerrit, ci):
    gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev")
    gerrit.faults.stall("query")
    stalled = start(ci, "gerrit query --format json 1")
    part = stalled.recv(4096)
    whole = ci.run("gerrit query --format json 1").stdout.encode()
    assert (len(part), part) == (len(whole) // 2, whole[: len(whole) // 2])
    assert (stalled.recv_ready(), stalled.exit_status_ready(), stalled.closed) == (False, False, False)
    gerrit.faults.clear()
    assert len(part + stalled.makefile("rb").read()) == len(whole)
    assert stalled.recv_exit_status() == 0


@pytest.mark.parametrize("applied", [True, False])
def test_an_unanswered_review_may_or_may_not_have_been_stored(gerrit, ci, applied):
    gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev")
    gerrit.faults.stall("review", applied=applied)
    stalled = start(ci, "gerrit review --verified 1 1,1")
    gerrit.wait_for(lambda: gerrit.votes(1, "Verified") if applied else len(gerrit.received) == 1)
    assert ci.run("gerrit version").exit_status == 0
    assert gerrit.votes(1, "Verified") == ({"ci-gate": 1} if applied else {})
    assert (stalled.exit_status_ready(), stalled.closed) == (False, False)


def test_a_connection_can_be_lost_after_a_review_was_stored(gerrit, ci):
    gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev")
    gerrit.faults.cut("review")
    assert ci.run("gerrit review --verified 1 1,1").exit_status == -1
    assert gerrit.votes(1, "Verified") == {"ci-gate": 1}


def test_a_frozen_server_accepts_connections_and_sends_no_byte_to_anybody(gerrit, ci):
    gerrit.faults.freeze()
    with pytest.raises(paramiko.SSHException):
        ci.ssh.get_transport().open_session(timeout=0.3)
    with socket.create_connection(("127.0.0.1", gerrit.port), timeout=0.3) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(1)
        gerrit.faults.thaw()
        connection.settimeout(10)
        assert connection.recv(4) == b"SSH-"


def test_fifty_channels_at_once_are_all_answered(gerrit, ci):
    for number in range(60):
        gerrit.create_change("demo/alpha", {f"file-{number}": "x\n"}, f"Change {number}", by="dev")
    commands = [f"gerrit review --verified 1 -m 'from {number}' {number},1" for number in range(1, 26)]
    commands += [f"gerrit query --format json --all-approvals --files {number}" for number in range(26, 51)]
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(ci.run, commands))
    assert [answer.exit_status for answer in answers] == [0] * 50
    assert all(gerrit.votes(number, "Verified") == {"ci-gate": 1} for number in range(1, 26))
    assert [answer.rows[0]["number"] for answer in answers[25:]] == list(range(26, 51))


def test_a_command_over_a_kept_connection_takes_milliseconds(gerrit, ci):
    gerrit.create_change("demo/alpha", {"a.txt": "one\n"}, "Add a file", by="dev")

    def seconds(command):
        begin = time.perf_counter()
        assert ci.run(command).exit_status == 0
        return time.perf_counter() - begin

    for command in ("gerrit review -m {} 1,1", "gerrit query --format json --all-approvals --files 1"):
        taken = [seconds(command.format(number)) for number in range(30)]
        assert statistics.median(taken) < 0.04, "about 2 ms on a quiet machine; Nagle's algorithm would make it 45"


def test_stop_leaves_no_thread_and_no_listening_port(gerrit, connect, tmp_path):
    before = set(threading.enumerate())
    with SandboxGerrit(tmp_path / "short") as short:
        short.create_account("dev")
        client = connect("dev", short)
        client.stream()
        port = short.port
    client.close()
    gerrit.wait_for(lambda: not set(threading.enumerate()) - before, what="the end of all threads")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_waiting_for_something_that_does_not_come_ends_at_the_deadline(gerrit):
    with pytest.raises(TimeoutError, match=r"a miracle did not come true within 0\.1 s"):
        gerrit.wait_for(lambda: False, deadline=0.1, what="a miracle")
