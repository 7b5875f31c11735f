"""Commands over SSH end with whoever asked for them; what else they do is in test_query.py and test_review.py."""

from __future__ import annotations

import asyncio

import pytest
from gerrit_parts import settings_for

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit.commands import CommandPool, CommandResult, NotSentError


async def test_who_is_cancelled_as_the_answer_comes_is_cancelled(monkeypatch, tmp_path):
    pool = CommandPool(GerritSettings(name="gerrit", server="gerrit.invalid", user="ci"))
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[CommandResult] = loop.create_future()
    connected: asyncio.Future[object] = loop.create_future()
    connected.set_result(object())
    futures = [connected, answer]
    monkeypatch.setattr(loop, "run_in_executor", lambda *_: futures.pop(0))
    asking = asyncio.create_task(pool.run("gerrit version", deadline_s=60.0))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not futures
    answer.set_result(CommandResult(0, "gerrit version 3.13.0\n", ""))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_without_leave_nothing_is_sent_and_the_connection_stays(gerrit):
    leave = [True]
    pool = CommandPool(settings_for(gerrit), may_send=lambda: leave[0])
    assert (await pool.run("gerrit version", deadline_s=20.0)).exit_status == 0
    leave[0] = False
    for repeatable in (True, False):
        with pytest.raises(NotSentError, match="cannot tell whether it still leads"):
            await pool.run("gerrit ls-projects", deadline_s=20.0, repeatable=repeatable)
    leave[0] = True
    transport = pool._transport
    assert (await pool.run("gerrit version", deadline_s=20.0)).exit_status == 0
    assert pool._transport is transport
    assert [each.line for each in gerrit.received] == ["gerrit version", "gerrit version"]
    await pool.close()


async def test_a_connection_that_breaks_and_does_not_count_as_dead_yet_costs_no_command(gerrit, monkeypatch):
    """paramiko ends the channels first, and then says that the connection is dead."""
    pool = CommandPool(settings_for(gerrit))
    assert (await pool.run("gerrit version", deadline_s=20.0)).exit_status == 0
    dying = pool._transport
    monkeypatch.setattr(dying, "is_active", lambda: True)
    gerrit.faults.cut("version")
    assert (await pool.run("gerrit version", deadline_s=20.0, repeatable=True)).exit_status == 0
    assert pool._transport is not dying
    assert [each.line for each in gerrit.received] == ["gerrit version"] * 3
    await pool.close()
