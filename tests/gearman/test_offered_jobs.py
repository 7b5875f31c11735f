"""``ci-gate validate --gearman``: jobs that no worker offers, asked of real job servers."""

from __future__ import annotations

import asyncio
import time

import gear
import pytest
from gearman_parts import HOST

from ci_gate.cli.main import main
from ci_gate.gearman.inquiry import registered_functions
from ci_gate.job_servers import Address
from ci_gate.sandbox.ports import free_port

LAYOUT = """pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: patchset-created}]}
projects:
  - name: demo/app
    check: [unit, on-windows, noop, lost, nobodys]
"""


def worker(server, *functions: str) -> gear.Worker:
    made = gear.Worker("tester")
    made.addServer(HOST, server.port)
    made.waitForServer()
    for each in functions:
        made.registerFunction(each)
    return made


async def test_a_job_without_a_worker_is_told_where_it_stands(server, tmp_path, capsys):
    staying = await asyncio.to_thread(worker, server, "build:unit", "build:on-windows:windows", "stop:jenkins")
    leaving = await asyncio.to_thread(worker, server, "build:lost")
    layout = tmp_path / "layout.yaml"
    layout.write_text(LAYOUT)
    address = Address(HOST, server.port)

    async def offered(function: str, *, is_offered: bool) -> None:
        ends_at = time.monotonic() + 10
        while bool((await registered_functions(address)).get(function)) is not is_offered:
            assert time.monotonic() < ends_at
            await asyncio.sleep(0.01)

    try:
        for each in ("build:unit", "build:on-windows:windows", "build:lost"):
            await offered(each, is_offered=True)
        await asyncio.to_thread(leaving.shutdown)
        await offered("build:lost", is_offered=False)
        status = await asyncio.to_thread(main, ["validate", "--gearman", str(address), str(layout)])
    finally:
        await asyncio.to_thread(staying.shutdown)
    said = capsys.readouterr().out
    assert status == 1
    assert [
        line.split(": ", 1)[1] for line in said.splitlines() if line.startswith(str(layout)) and ": error" in line
    ] == [
        f'error: job "{job}" is offered by no worker of the Gearman server {address} [undefined-job]'
        for job in ("lost", "nobodys")
    ]


@pytest.mark.parametrize("address", ["here:there", ":4730", "host:0", "host:70000"])
def test_an_address_that_is_none_is_a_matter_of_usage(tmp_path, capsys, address):
    (tmp_path / "layout.yaml").write_text(LAYOUT)
    assert main(["validate", "--gearman", address, str(tmp_path / "layout.yaml")]) == 2
    assert "is not HOST:PORT, as in 127.0.0.1:4730" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_told_with_what_to_do(tmp_path, capsys):
    (tmp_path / "layout.yaml").write_text(LAYOUT)
    address = f"{HOST}:{free_port()}"
    assert main(["validate", "--gearman", address, str(tmp_path / "layout.yaml")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"ci-gate validate: cannot ask the Gearman server: {address}: ")
    assert said.endswith("name it with --gearman HOST:PORT\n")


def test_the_configuration_names_the_server(tmp_path, capsys):
    port = free_port()
    (tmp_path / "layout.yaml").write_text(LAYOUT)
    (tmp_path / "ci.conf").write_text(
        f"[gearman]\nserver={HOST}\nport={port}\n[zuul]\nlayout_config={tmp_path}/layout.yaml\n"
        "[gerrit]\nserver=r\nuser=ci\nsshkey=/k\n"
    )
    assert main(["validate", "--gearman", "-c", str(tmp_path / "ci.conf")]) == 2
    assert f"{HOST}:{port}" in capsys.readouterr().err
