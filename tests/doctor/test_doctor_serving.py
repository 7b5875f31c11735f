"""The doctor beside the running service, and before its start."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from doctor_parts import HOST, assert_good, assert_wrong

from ci_gate.doctor import serving
from ci_gate.doctor.check import Mark
from ci_gate.doctor.examination import examine
from ci_gate.sandbox.world import World

EXAMPLES = Path(__file__).parent.parent.parent / "etc"
PROJECT = "example/project"
JOB = "gate-example-project-unit"


async def look(world: World) -> dict:
    return {f"{each.group}/{each.name}": each.finding async for each in examine(world.config)}


async def test_a_healthy_site_has_nothing_wrong_before_its_first_start_and_while_it_works(tmp_path):
    async with World(tmp_path, EXAMPLES) as world:
        world.gerrit.create_project(PROJECT, {"README": "x\n"})
        found = await look(world)
        assert not [each for each in found.items() if each[1].mark is Mark.WRONG]
        assert found["Service/admin socket"].mark is Mark.NOT_TRIED
        assert_good(found["Service/status page"], "is free")
        await world.start_service()
        world.jenkins.add_job(JOB)
        await world.jenkins.start()
        await world.jenkins.ready()
        change = world.gerrit.create_change(PROJECT, {"file": "x\n"}, "Change something\n", by="dev")
        await asyncio.to_thread(
            world.gerrit.wait_for, lambda: world.gerrit.votes(change.number, "Verified"), 20, "a vote"
        )
        found = await look(world)
        assert not [each for each in found.items() if each[1].mark is Mark.WRONG]
        assert_good(found["Service/admin socket"])
        assert_good(found["Service/status page"])
        assert_good(found["Service/zuul_url"], PROJECT, "only workers on this machine")
        assert_good(found["Gearman/job server"], "ci-gate")
        assert_good(found["Gearman/jobs"])
        assert_good(found["Gerrit/host key"], "the same")
        text = world.config.read_text()
        world.config.write_text(text.replace(f"{world.url}p", f"{world.url}git"))
        assert_wrong((await look(world))["Service/zuul_url"], "status 404", "/p")


async def test_a_port_that_somebody_else_holds_is_wrong_before_the_start(bare_site):
    with socket.create_server((HOST, bare_site.web_port)):
        found = await bare_site.look()
    assert_wrong(found["Service/status page"], f"port {bare_site.web_port} is held by another program", "ss -ltnp")


async def test_an_address_of_another_machine_cannot_be_listened_at(bare_site):
    found = await bare_site.look(webapp={"listen_address": "192.0.2.1"})
    assert_wrong(found["Service/status page"], "192.0.2.1", "set listen_address")


async def test_a_name_of_zuul_url_that_nobody_knows_is_wrong(bare_site):
    found = await bare_site.look(merger={"zuul_url": "http://no-such-host.invalid/p"})
    assert_wrong(found["Service/zuul_url"], "no-such-host.invalid", "zuul_url")


async def test_a_service_that_is_stuck_is_wrong(bare_site, monkeypatch):
    """It holds its socket and never answers; the port is then expected to be its own."""
    monkeypatch.setattr(serving, "ANSWER_S", 0.2)
    bare_site.state.mkdir()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(say_nothing, bare_site.state / "admin.sock")
    async with server:
        found = await bare_site.look()
    assert_wrong(found["Service/admin socket"], "does not answer", "see its log")
    assert_wrong(found["Service/status page"], "does not serve our status")


async def test_a_socket_that_a_killed_service_left_is_no_service(bare_site):
    bare_site.state.mkdir()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(bare_site.state / "admin.sock"))
    assert (await bare_site.look())["Service/admin socket"].mark is Mark.NOT_TRIED
