"""Metrics as a statsd server hears them: Zuul's names, over UDP (scheduler.md 17, outputs.md 6)."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from ci_gate import statsd
from ci_gate.daemon.metrics import Metrics
from ci_gate.gearman.server import METRICS as METRICS_OF_THE_JOB_SERVER
from ci_gate.model.item import ItemView, PipelineView, QueueView
from ci_gate.model.measures import BuildFinished, EventTaken, ItemEntered, ItemLeft
from ci_gate.model.operations import Stall
from ci_gate.statsd import StatsdLines, StatsdPortError

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "operating.md"


class StatsdServer:
    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(5)
        self.port = self._socket.getsockname()[1]

    @property
    def environment(self) -> dict[str, str]:
        return {"STATSD_HOST": "127.0.0.1", "STATSD_PORT": str(self.port)}

    def heard(self) -> list[str]:
        """All that was sent until now: a line of our own marks the end."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
            mark.sendto(b"end", ("127.0.0.1", self.port))
        lines = []
        while (line := self._socket.recv(65536).decode()) != "end":
            lines.append(line)
        return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server():
    made = StatsdServer()
    yield made
    made.close()


@pytest.fixture
def metrics(server):
    lines = StatsdLines.from_environment(server.environment)
    made = Metrics(lines)
    made.loaded([PipelineView("check", None, ()), PipelineView("gate", None, ())])
    assert server.heard() == ["zuul.pipeline.check.current_changes:0|g", "zuul.pipeline.gate.current_changes:0|g"]
    yield made
    lines.close()


def test_an_event_is_counted_by_its_type(metrics, server):
    metrics.count([EventTaken("patchset-created"), EventTaken("timer")])
    assert server.heard() == ["gerrit.event.patchset-created:1|c", "gerrit.event.timer:1|c"]


def test_an_item_that_leaves_is_counted_and_timed_for_its_pipeline_and_its_project(metrics, server):
    metrics.count([ItemEntered("gate")])
    metrics.count([ItemLeft("gate", "acme/tools/app.core", 61.2345)])
    assert server.heard() == [
        "zuul.pipeline.gate.current_changes:1|g",
        "zuul.pipeline.gate.resident_time:61234|ms",
        "zuul.pipeline.gate.total_changes:1|c",
        "zuul.pipeline.gate.acme.tools.app.core.resident_time:61234|ms",
        "zuul.pipeline.gate.acme.tools.app.core.total_changes:1|c",
        "zuul.pipeline.gate.current_changes:0|g",
    ]


def test_an_item_that_left_at_once_counts_and_the_gauge_that_did_not_change_is_not_sent(metrics, server):
    metrics.count([ItemEntered("gate"), ItemLeft("gate", "app", 0.0)])
    assert server.heard() == [
        "zuul.pipeline.gate.resident_time:0|ms",
        "zuul.pipeline.gate.total_changes:1|c",
        "zuul.pipeline.gate.app.resident_time:0|ms",
        "zuul.pipeline.gate.app.total_changes:1|c",
    ]


def test_many_items_in_one_step_are_one_gauge(metrics, server):
    metrics.count([ItemEntered("gate")] * 200)
    assert server.heard() == ["zuul.pipeline.gate.current_changes:200|g"]


def test_a_build_is_counted_timed_and_its_wait_told_by_job_and_label(metrics, server):
    metrics.count([BuildFinished("gate", "unit-3.11", "SUCCESS", 1.5, 125.0, ("trusty", "big.node"))])
    assert server.heard() == [
        "zuul.pipeline.gate.all_jobs:1|c",
        "zuul.pipeline.gate.job.unit-3_11.SUCCESS:125000|ms",
        "zuul.pipeline.gate.job.unit-3_11.SUCCESS:1|c",
        "zuul.pipeline.gate.job.unit-3_11.wait_time:1500|ms",
        "zuul.pipeline.gate.label.trusty.wait_time:1500|ms",
        "zuul.pipeline.gate.label.big.node.wait_time:1500|ms",
    ]


@pytest.mark.parametrize(("result", "is_timed"), [("FAILURE", True), ("ABORTED", False), (None, False)])
def test_only_two_results_are_timed(metrics, server, result, is_timed):
    metrics.count([BuildFinished("gate", "unit", result, 0.0, 2.0)])
    timed = [f"zuul.pipeline.gate.job.unit.{result}:2000|ms"] if is_timed else []
    assert server.heard() == [
        "zuul.pipeline.gate.all_jobs:1|c",
        *timed,
        f"zuul.pipeline.gate.job.unit.{result}:1|c",
        "zuul.pipeline.gate.job.unit.wait_time:0|ms",
    ]


def test_a_build_that_never_started_has_no_times(metrics, server):
    metrics.count([BuildFinished("gate", "unit", "LOST", labels=("trusty",))])
    assert server.heard() == ["zuul.pipeline.gate.all_jobs:1|c", "zuul.pipeline.gate.job.unit.LOST:1|c"]


def test_a_new_layout_tells_of_its_pipelines_and_ends_the_gauges_of_those_that_are_gone(metrics, server):
    metrics.count([ItemEntered("gate"), ItemEntered("check")])
    server.heard()
    one = QueueView("app", 0, ((ItemView(None, "new", None, "app", 0.0),) * 2,))
    metrics.loaded([PipelineView("check", None, ()), PipelineView("new", None, (one,))])
    assert sorted(server.heard()) == [
        "zuul.pipeline.check.current_changes:0|g",
        "zuul.pipeline.gate.current_changes:0|g",
        "zuul.pipeline.new.current_changes:2|g",
    ]
    metrics.count([ItemLeft("gate", "app", 1.0)])
    assert not any("current_changes" in each for each in server.heard()), "its last item leaves later"


def test_names_cannot_break_the_protocol(metrics, server):
    metrics.count([EventTaken("a:1|c\nb"), ItemEntered("check")])
    assert server.heard() == ["gerrit.event.a_1_c_b:1|c", "zuul.pipeline.check.current_changes:1|g"]


def test_every_name_is_documented(server):
    metrics = Metrics(StatsdLines.from_environment(server.environment))
    metrics.loaded([PipelineView("P", None, ())])
    finished = [BuildFinished("P", "JOB", result, 1.0, 1.0, ("LABEL",)) for result in ("RESULT", "SUCCESS")]
    metrics.stalled([])
    metrics.count([EventTaken("TYPE"), ItemEntered("P"), ItemLeft("P", "ORG/PROJECT", 1.0), *finished])
    names = {each.partition(":")[0].replace("SUCCESS", "RESULT") for each in server.heard()}
    documented = set(re.findall(r"`((?:gerrit|zuul)\.[a-z]+\.[\w.]+)`", DOCUMENT.read_text(encoding="utf-8")))
    others = (METRICS_OF_THE_JOB_SERVER, "zuul.gerrit.")  # the latter in test_gerrit_metrics.py
    assert names == {each for each in documented if not each.startswith(others)}


@pytest.mark.parametrize(("given", "before"), [("site.", "site.gerrit"), ("", "gerrit")])
def test_a_prefix_stands_before_every_name(server, given, before):
    Metrics(StatsdLines.from_environment({**server.environment, "STATSD_PREFIX": given})).count([EventTaken("timer")])
    assert server.heard() == [f"{before}.event.timer:1|c"]


def test_without_a_host_there_are_no_metrics():
    assert StatsdLines.from_environment({"STATSD_PORT": "nonsense"}) is None


@pytest.mark.parametrize("port", ["nonsense", "0", "65536", "-1", "81 25", "²"])
def test_a_port_that_is_none_is_named(port):
    with pytest.raises(StatsdPortError) as refused:
        StatsdLines.from_environment({"STATSD_HOST": "127.0.0.1", "STATSD_PORT": port})
    assert str(refused.value).startswith(f'STATSD_PORT: "{port}" is not a port')


def test_a_server_that_is_away_or_full_is_nobodys_trouble():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        port = gone.getsockname()[1]
    lines = StatsdLines("127.0.0.1", port)
    for _ in range(1000):
        lines.incr("x")
    lines.incr("x" * 100_000)


def test_a_host_that_cannot_be_found_is_looked_for_until_it_is(server, monkeypatch):
    answers = iter([OSError("no such host"), OSError("still none"), None])
    known = socket.getaddrinfo

    def resolve(host, *arguments, **given):
        if host != "statsd.acme.test":
            return known(host, *arguments, **given)
        problem = next(answers)
        if problem:
            raise problem
        return known("127.0.0.1", *arguments, **given)

    monkeypatch.setattr(statsd, "RESOLVE_AGAIN_S", 0.01)
    monkeypatch.setattr(statsd.socket, "getaddrinfo", resolve)
    lines = StatsdLines("statsd.acme.test", server.port)
    lines.incr("too.early")
    lines._searching.join(5)
    lines.incr("heard")
    assert server.heard() == ["heard:1|c"]


def test_builds_that_wait_in_vain_are_a_gauge(server, metrics):
    metrics.stalled([Stall("build:unit", 2, 1.0, 4), Stall("build:docs", 3, 1.0, 1)])
    metrics.stalled([])
    assert server.heard() == ["zuul.gearman.stalled_builds:5|g", "zuul.gearman.stalled_builds:0|g"]
