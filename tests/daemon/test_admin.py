"""The admin socket, and the commands that ask over it."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import time

import pytest

from ci_gate.cli.asking import AskingError, ask
from ci_gate.cli.main import main
from ci_gate.daemon import admin as admin_module
from ci_gate.daemon.admin import AdminSocket, AdminSocketError
from ci_gate.model.operations import CommandAnswer


async def greet(request) -> CommandAnswer:
    return CommandAnswer(done=True, lines=("hello", str(request.get("name"))))


async def stumble(_request) -> CommandAnswer:
    raise RuntimeError("secret detail")


@pytest.fixture
async def admin(tmp_path):
    socket = AdminSocket(tmp_path, {"greet": greet, "stumble": stumble})
    await socket.start()
    yield socket
    await socket.stop()


async def asked(folder, request) -> tuple[bool, list[str]]:
    answer = await asyncio.to_thread(ask, folder / "admin.sock", request)
    return answer.done, answer.lines


async def raw(folder, line: bytes) -> dict:
    reader, writer = await asyncio.open_unix_connection(folder / "admin.sock")
    writer.write(line)
    answer = json.loads(await reader.readline())
    writer.close()
    return answer


async def test_a_command_is_answered_by_its_handler(admin, tmp_path):
    assert await asked(tmp_path, {"command": "greet", "name": "ü"}) == (True, ["hello", "ü"])


async def test_owner_and_group_may_command_and_nobody_else(admin, tmp_path):
    assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o660


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"hello\n", "not one line of JSON"),
        (b"[" * 100_000 + b"\n", "not one line of JSON"),
        (b"[]\n", 'an object with a "command"'),
        (b'{"command": 1}\n', 'an object with a "command"'),
        (b'{"command": "x"}\n', 'unknown command "x"; known: greet, stumble'),
        (b'{"command": "stumble"}\n', "could not do that: RuntimeError; see its log"),
        (b" " * (admin_module.LONGEST_REQUEST + 1) + b"\n", "not one line of JSON"),
    ],
)
async def test_what_cannot_be_done_is_answered_with_the_reason(admin, tmp_path, line, says):
    answer = await raw(tmp_path, line)
    assert answer["done"] is False
    assert says in answer["lines"][0]
    assert "secret" not in str(answer)


async def test_who_says_nothing_is_not_waited_for_for_ever(admin, tmp_path, monkeypatch):
    monkeypatch.setattr(admin_module, "REQUEST_DEADLINE_S", 0.05)
    assert "no request" in (await raw(tmp_path, b""))["lines"][0]


async def test_a_file_of_a_service_that_was_killed_is_no_hindrance(tmp_path):
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(tmp_path / "admin.sock"))
    admin = AdminSocket(tmp_path, {"greet": greet})
    await admin.start()
    assert (await asked(tmp_path, {"command": "greet"}))[0]
    await admin.stop()
    assert not (tmp_path / "admin.sock").exists()


async def test_a_living_service_keeps_its_folder(admin, tmp_path):
    with pytest.raises(AdminSocketError, match="another ci-gate serve works with state_dir"):
        await AdminSocket(tmp_path, {}).start()
    assert (await asked(tmp_path, {"command": "greet"}))[0]


async def test_a_path_that_no_socket_can_have_is_told_with_what_to_do(tmp_path):
    folder = tmp_path / ("x" * 100)
    with pytest.raises(AdminSocketError, match="set \\[zuul\\] state_dir to a shorter path"):
        await AdminSocket(folder, {}).start()


async def test_stopping_ends_talks_that_go_on(tmp_path):
    admin = AdminSocket(tmp_path, {})
    await admin.start()
    reader, writer = await asyncio.open_unix_connection(tmp_path / "admin.sock")
    ends_at = time.monotonic() + 5
    while not admin.talking:
        assert time.monotonic() < ends_at
        await asyncio.sleep(0.001)
    await asyncio.wait_for(admin.stop(), 5)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()


def test_without_a_service_the_command_says_what_to_do(tmp_path, capsys):
    config = tmp_path / "ci.conf"
    config.write_text(
        f"[zuul]\nstate_dir={tmp_path}\nlayout_config=layout.yaml\n"
        "[gearman]\nserver=127.0.0.1\n[gerrit]\nserver=r\nuser=ci\nsshkey=/k\n"
    )
    assert main(["reload", "-c", str(config)]) == 1
    said = capsys.readouterr().err
    assert said == (
        f"ci-gate reload: no service answers at {tmp_path}/admin.sock; "
        "start it, or name its configuration file with --config\n"
    )


async def test_an_answer_that_is_none_is_told_as_such(tmp_path):
    async def nonsense(_reader, writer):
        writer.write(b"17\n")
        writer.close()

    server = await asyncio.start_unix_server(nonsense, tmp_path / "admin.sock")
    with pytest.raises(AskingError, match="cannot be understood"):
        await asked(tmp_path, {"command": "greet"})
    server.close()


@pytest.mark.parametrize(
    "command",
    [
        ["reload"],
        ["show", "running-jobs"],
        ["explain", "1,1"],
        ["promote", "--pipeline", "gate", "--changes", "1,1"],
        ["dequeue", "--pipeline", "gate", "--project", "p", "--change", "1,1"],
        ["enqueue", "--trigger", "gerrit", "--pipeline", "gate", "--project", "p", "--change", "1,1"],
        ["builds"],
        ["replay"],
        ["journal", "export", "bundle"],
        ["shadow", "report"],
    ],
    ids=lambda command: command[0],
)
def test_a_command_needs_no_more_of_the_configuration_than_where_the_service_keeps_its_things(
    tmp_path, capsys, command
):
    config = tmp_path / "ci.conf"
    config.write_text(f"[zuul]\nstate_dir={tmp_path}\nreport_times=maybe\n")
    assert main([*command, "-c", str(config)]) == 1
    told = capsys.readouterr().err
    assert "ci.conf" not in told
    assert f"{tmp_path}/admin.sock" in told or "no journal yet" in told or f"state_dir {tmp_path}" in told
