"""SIGUSR1: what runs comes to its end, and what comes meanwhile waits for the next start (scheduler.md 16)."""

from __future__ import annotations

import asyncio
import signal

import pytest
from e2e_site import JOB, when

pytestmark = pytest.mark.e2e


async def ended(site) -> int:
    async with asyncio.timeout(20):
        return await site.world.ended()


async def test_w69_the_last_report_is_sent_and_events_that_came_meanwhile_are_looked_at_after_the_next_start(site):
    site.jenkins.hold(JOB)
    change = site.upload()
    await site.jenkins.running(JOB)
    site.world.send_signal(signal.SIGUSR1)
    await when(lambda: "nothing new is started" in (site.status().get("message") or ""), "the message")
    later = site.upload({"other": "y\n"})
    await when(lambda: site.status()["trigger_event_queue"]["length"] > 0, "the event to wait")
    site.jenkins.release(JOB)
    assert await ended(site) == 0
    assert site.vote_of(change.number) == +1
    assert site.vote_of(later.number) is None
    await site.world.start_service()
    await site.vote(later.number, +1)
    assert len(site.builds(later.number)) == 1


async def test_w70_children_of_what_ends_meanwhile_run_as_well(site):
    layout = site.world.folder / "layout.yaml"
    text = layout.read_text(encoding="utf-8")
    layout.write_text(text.replace(f"      - {JOB}\n", f"      - {JOB}:\n          - gate-child\n"), encoding="utf-8")
    site.jenkins.add_job("gate-child")
    before = site.status()["last_reconfigured"]
    site.world.hang_up()
    await when(lambda: site.status()["last_reconfigured"] > before, "the new layout")
    site.jenkins.hold(JOB)
    change = site.upload()
    await site.jenkins.running(JOB)
    site.world.send_signal(signal.SIGUSR1)
    site.jenkins.release(JOB)
    assert await ended(site) == 0
    (report,) = await site.reports(change.number, 1)
    assert "gate-child" in report
    assert site.vote_of(change.number) == +1


async def test_with_nothing_under_way_it_ends_at_once(site):
    site.world.send_signal(signal.SIGUSR1)
    assert await ended(site) == 0


async def test_a_second_interrupt_does_not_wait(site):
    site.jenkins.hold(JOB)
    site.upload()
    await site.jenkins.running(JOB)
    site.world.send_signal(signal.SIGINT)
    await when(lambda: "nothing new is started" in (site.status().get("message") or ""), "the message")
    site.world.send_signal(signal.SIGINT)
    assert await ended(site) == 0


async def test_sigusr2_tells_what_every_thread_and_task_does(site):
    site.world.send_signal(signal.SIGUSR2)
    await when(lambda: "stack of a task" in site.world.end_of_log(), "the stacks in the log")
    assert "stack of a thread" in site.world.log.read_text()
    change = site.upload()
    await site.vote(change.number, +1)
