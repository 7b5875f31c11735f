"""Whatever happens to the leader, the other one goes on: nothing is lost, and nothing is said twice."""

from __future__ import annotations

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE

import pytest
from standby_site import JOB, PROJECT, pair, when

pytestmark = pytest.mark.e2e

FETCHES = """
git init -q . &&
git fetch -q "$ZUUL_URL/$ZUUL_PROJECT" "$ZUUL_REF" &&
test "$(git rev-parse FETCH_HEAD)" = "$ZUUL_COMMIT"
"""
CHANGES = 20


def items(status: dict) -> list[str]:
    queues = [queue for pipeline in status["pipelines"] for queue in pipeline["change_queues"]]
    return [item["id"] for queue in queues for head in queue["heads"] for item in head]


async def test_one_leads_and_the_other_follows_and_says_so(two):
    assert two.first.leads
    assert two.first.get("healthz") == (200, "ok\n")
    assert two.second.get("healthz") == (200, "ok\n")
    assert two.second.get("healthz/leader") == (503, "stands by\n")
    assert f"port {two.first.port}" in two.second.status()["message"]
    assert "This service stands by" in two.second.status()["message"]
    two.jenkins.hold(JOB)
    two.upload()
    await when(lambda: items(two.first.status()), "the item")
    await when(lambda: items(two.second.status()) == items(two.first.status()), "the item at the second")
    assert two.gerrit.listeners == 1
    two.jenkins.release(JOB)
    await two.nothing_left()


async def test_commands_are_refused_where_a_service_only_stands_by(two):
    command = [sys.executable, "-m", "ci_gate", "reload", "-c", str(two.second.config)]
    process = await asyncio.create_subprocess_exec(*command, stderr=PIPE)
    _, told = await process.communicate()
    assert process.returncode == 1
    assert "this service stands by; ask the one that leads" in told.decode()


async def test_a_leader_that_is_killed_under_load_is_followed_and_every_change_gets_one_report(two):
    two.jenkins.hold(JOB)
    changes = [two.upload({f"file-{number}": "x\n"}) for number in range(CHANGES // 2)]
    await when(lambda: any(two.builds(each.number) for each in changes), "builds")
    two.jenkins.release(JOB)
    await when(lambda: any(two.ours(each.number) for each in changes), "the first report")
    two.first.send(signal.SIGKILL)
    changes += [two.upload({f"file-{number}": "x\n"}) for number in range(CHANGES // 2, CHANGES)]
    await two.taken_over()
    for each in changes:
        await two.vote(each.number, +1)
    await two.nothing_left()
    assert [len(two.ours(each.number)) for each in changes] == [1] * CHANGES
    assert [len(two.builds(each.number)) for each in changes] == [1] * CHANGES


async def test_a_leader_that_is_stopped_gives_way_and_may_come_back_to_stand_by(two):
    two.jenkins.hold(JOB)
    change = two.upload()
    await two.jenkins.running(JOB)
    two.first.send(signal.SIGTERM)
    assert await two.first.ended() == 0
    await two.taken_over()
    assert "which has stopped" in two.second.log
    await two.first.start()
    assert two.first.get("healthz/leader") == (503, "stands by\n")
    two.jenkins.release(JOB)
    await two.vote(change.number, +1)
    await two.nothing_left()
    assert len(two.ours(change.number)) == 1
    two.second.send(signal.SIGTERM)
    await when(lambda: two.first.leads, "the first to lead again")


async def test_events_that_a_leader_kept_when_it_stopped_are_looked_at_by_the_next(two):
    two.jenkins.hold(JOB)
    change = two.upload()
    await two.jenkins.running(JOB)
    two.first.send(signal.SIGUSR1)
    await when(lambda: "nothing new is started" in (two.status().get("message") or ""), "the message")
    later = two.upload({"other": "y\n"})
    await when(lambda: two.status()["trigger_event_queue"]["length"] > 0, "the event to wait")
    two.jenkins.release(JOB)
    assert await two.first.ended() == 0
    await two.taken_over()
    await two.vote(change.number, +1)
    await two.vote(later.number, +1)
    assert "events of the last stop are looked at now" in two.second.log


async def test_a_leader_that_stood_still_over_the_takeover_sends_nothing_and_ends(two):
    two.jenkins.hold(JOB)
    changes = [two.upload({f"file-{number}": "x\n"}) for number in range(3)]
    await when(lambda: all(two.builds(each.number) for each in changes), "their builds")
    two.first.send(signal.SIGSTOP)
    two.jenkins.release(JOB)  # the ends of the builds wait in the sockets of both
    later = two.upload({"later": "x\n"})
    await two.taken_over()
    for each in [*changes, later]:
        await two.vote(each.number, +1)
    await two.nothing_left()
    two.second.send(signal.SIGSTOP)  # what arrives from now on is the first's
    sent = len(two.gerrit.received)
    two.first.send(signal.SIGCONT)
    assert await two.first.ended() == 1
    assert "another service leads now" in two.first.log
    assert [each.line for each in two.gerrit.received[sent:]] == []
    two.second.send(signal.SIGCONT)
    await when(lambda: two.second.leads, "the second to go on")
    assert [len(two.ours(each.number)) for each in [*changes, later]] == [1, 1, 1, 1]


async def test_a_database_that_is_away_for_some_time_stops_nobody(two, postgresql):
    two.jenkins.hold(JOB)
    change = two.upload()
    await two.jenkins.running(JOB)
    await asyncio.to_thread(postgresql.stop)
    try:
        two.jenkins.release(JOB)
        later = two.upload({"later": "x\n"})
        await when(lambda: "nothing is sent until it can" in two.first.log, "the leader to say so")
        await when(lambda: "this standby cannot" in two.second.log, "the other to say so")
        assert two.ours(change.number) == two.ours(later.number) == []
        assert two.first.get("healthz/leader")[0] == 503
    finally:
        await asyncio.to_thread(postgresql.start)
    for each in (change, later):
        await two.vote(each.number, +1)
    await when(lambda: "this standby can again" in two.second.log, "the other to say so")
    await when(lambda: two.first.leads != two.second.leads, "one of them to lead")
    assert [len(two.ours(each.number)) for each in (change, later)] == [1, 1]


async def test_states_that_the_other_host_has_merged_are_there_after_the_takeover(tmp_path, postgresql):
    async with pair(tmp_path, postgresql.new_database(), FETCHES) as two:
        two.jenkins.hold(JOB)
        base = two.upload({"base": "x\n"})
        on_top = two.upload({"top": "x\n"}, parent=base.current.revision)
        await when(lambda: all(two.builds(each.number) for each in (base, on_top)), "their builds")
        two.gerrit.push(PROJECT, {"README": "moved on\n"}, "Move the branch", by="dev")
        two.first.send(signal.SIGKILL)
        await two.taken_over()
        await when(lambda: "merged states of another host are made here" in two.second.log, "the states")
        two.jenkins.release(JOB)
        for each in (base, on_top):
            await two.vote(each.number, +1)
        await two.nothing_left()
        assert [len(two.builds(each.number)) for each in (base, on_top)] == [1, 1]
