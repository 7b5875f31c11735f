"""The metrics of the embedded job server, as a statsd server hears them (outputs.md 6)."""

from __future__ import annotations

import socket

import pytest
from gearman_parts import HOST

from ci_gate.config.settings import GearmanServerSettings
from ci_gate.gearman.job_server import JobServer
from ci_gate.gearman.server import METRICS
from ci_gate.gearman.server_process import GearmanServerError, ServerProcess
from ci_gate.statsd import StatsdLines


@pytest.fixture
def statsd():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind((HOST, 0))
        listening.settimeout(5)
        yield listening


def test_packets_and_the_queue_are_told_under_zuuls_names(statsd):
    environment = {"STATSD_HOST": HOST, "STATSD_PORT": str(statsd.getsockname()[1]), "STATSD_PREFIX": "site"}
    server = JobServer(HOST, 0, StatsdLines.from_environment(environment, METRICS))
    try:
        with socket.create_connection((HOST, server.port)) as client:
            client.sendall(b"\0REQ" + (7).to_bytes(4) + (9).to_bytes(4) + b"build:x\0\0")
            heard = {statsd.recv(1000).decode() for _ in range(5)}
    finally:
        server.shutdown()
    took = next(
        each for each in heard if each.startswith("site.zuul.geard.packet.SUBMIT_JOB:") and each.endswith("|ms")
    )
    assert heard - {took} == {
        "site.zuul.geard.queue.total:1|g",
        "site.zuul.geard.queue.running:0|g",
        "site.zuul.geard.queue.waiting:1|g",
        "site.zuul.geard.packet.SUBMIT_JOB:1|c",
    }


async def test_a_port_that_is_none_keeps_the_server_from_starting_and_is_named(monkeypatch):
    monkeypatch.setenv("STATSD_HOST", HOST)
    monkeypatch.setenv("STATSD_PORT", "nonsense")
    with pytest.raises(GearmanServerError, match='STATSD_PORT: "nonsense" is not a port'):
        await ServerProcess(GearmanServerSettings(start=True, listen_address=HOST), 0).start()
