"""A report is one row, however often it has to be tried, and two reports are two, however alike they are."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from threading import Event

import pytest
from results_parts import RECORD, START, TIMER, UNIT, Proxy, connected, results, rows
from sqlalchemy import text

from ci_gate.model.report import DeliveryOutcome

pytestmark = pytest.mark.xdist_group("databases")

DELIVERED, UNREACHABLE = DeliveryOutcome.DELIVERED, DeliveryOutcome.UNREACHABLE
LONG_AGO = 1.0


@pytest.fixture(params=["postgresql", "mariadb"])
def lossy(request):
    """A database behind a proxy: its address, and the proxy."""
    server = request.getfixturevalue(request.param)
    dburi = server.new_database()
    proxy = Proxy(server.port)
    yield dburi.replace(str(server.port), str(proxy.port)), dburi, proxy
    proxy.close()


@pytest.mark.parametrize("record", [RECORD, START, TIMER], ids=["change", "start", "timer"])
async def test_a_commit_whose_answer_was_lost_is_not_repeated(lossy, record):
    through_proxy, dburi, proxy = lossy
    with results(through_proxy) as database:
        await database.look()
        assert (await database.write(record)).outcome is DELIVERED, "one that rightly equals the next"
        proxy.loses_answers = True
        first = await database.write(record)
        assert first.outcome is UNREACHABLE
        proxy.loses_answers = False
        again = await database.write(record, first_tried_at=time.time())
    assert (again.outcome, again.text) == (DELIVERED, "had arrived at an earlier try")
    assert len(rows(dburi, "zuul_buildset")) == 2


@pytest.mark.parametrize("record", [START, TIMER], ids=["start", "timer"])
async def test_reports_that_rightly_say_the_same_are_all_kept(dburi, record):
    with results(dburi) as database:
        for _ in range(3):
            assert (await database.write(record)).outcome is DELIVERED
    assert len(rows(dburi, "zuul_buildset")) == 3


async def test_a_try_that_never_came_to_the_database_is_not_taken_for_the_report_before(postgresql):
    dburi = postgresql.new_database()
    with results(dburi) as database:
        assert (await database.write(START)).outcome is DELIVERED
        postgresql.stop()
        assert (await database.write(START)).outcome is UNREACHABLE
        postgresql.start()
        assert (await database.write(START, first_tried_at=time.time())).text == ""
    assert len(rows(dburi, "zuul_buildset")) == 2


async def test_a_try_that_is_rolled_back_is_repeated(postgresql):
    dburi = postgresql.new_database()
    with results(dburi) as database:
        await database.look()
        with connected(dburi) as connection:
            connection.execute(text("ALTER TABLE zuul_build RENAME TO elsewhere"))
        assert (await database.write(RECORD)).outcome is UNREACHABLE
        with connected(dburi) as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO zuul_build"))
        assert (await database.write(RECORD, first_tried_at=time.time())).outcome is DELIVERED
    assert len(rows(dburi, "zuul_buildset")) == 1
    assert len(rows(dburi, "zuul_build")) == 2


async def test_a_try_that_ends_after_its_caller_gave_up_counts(postgresql):
    dburi = postgresql.new_database()
    with results(dburi) as database:
        await database.look()
        with connected(dburi) as connection:
            connection.execute(text("LOCK TABLE zuul_build"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await database.write(RECORD)
            repeat = asyncio.create_task(database.write(RECORD, first_tried_at=time.time()))
            await asyncio.sleep(0)
        assert (await repeat).text == "had arrived at an earlier try"
    assert len(rows(dburi, "zuul_buildset")) == 1


async def test_a_repeat_whose_caller_gave_up_in_the_queue_is_not_made(tmp_path):
    dburi = f"sqlite:///{tmp_path / 'results.db'}"
    with results(dburi) as database:
        await database.look()
        busy = Event()
        holding = asyncio.create_task(database._thread.run(busy.wait))  # as a database that does not answer would
        await asyncio.sleep(0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await database.write(RECORD)
        busy.set()
        await holding
        await database.look()
    assert rows(dburi, "zuul_buildset") == []


@pytest.mark.parametrize("record", [RECORD, START, TIMER], ids=["change", "start", "timer"])
async def test_after_a_restart_a_report_that_arrived_is_found(dburi, record):
    with results(dburi) as database:
        await database.write(record)
    with results(dburi) as restarted:
        again = await restarted.write(record, first_tried_at=LONG_AGO)
    assert again.text == "had arrived at an earlier try"
    assert len(rows(dburi, "zuul_buildset")) == 1


async def test_after_a_restart_a_report_that_did_not_arrive_is_written(dburi):
    other_build = replace(TIMER, builds=(replace(UNIT, uuid="0" * 32),))
    with results(dburi) as database:
        for each in (START, TIMER, RECORD):
            await database.write(each)
    with results(dburi) as restarted:
        for each in (START, other_build, replace(RECORD, zuul_ref="Z" + "1" * 32)):
            delivery = await restarted.write(each, first_tried_at=LONG_AGO)
            assert (delivery.outcome, delivery.text) == (DELIVERED, "")
    assert len(rows(dburi, "zuul_buildset")) == 6


async def test_after_a_restart_a_repeat_of_the_repeat_is_found_too(lossy):
    through_proxy, dburi, proxy = lossy
    with results(through_proxy) as restarted:
        await restarted.look()
        proxy.loses_answers = True
        assert (await restarted.write(START, first_tried_at=LONG_AGO)).outcome is UNREACHABLE
        proxy.loses_answers = False
        assert (await restarted.write(START, first_tried_at=LONG_AGO)).text == "had arrived at an earlier try"
    assert len(rows(dburi, "zuul_buildset")) == 1


async def test_after_a_restart_each_report_in_doubt_is_looked_for(dburi):
    with results(dburi) as database:
        for each in (START, RECORD):
            await database.write(each)
    with results(dburi) as restarted:
        await restarted.write(TIMER, first_tried_at=LONG_AGO)
        assert (await restarted.write(RECORD, first_tried_at=LONG_AGO)).text == "had arrived at an earlier try"
    assert len(rows(dburi, "zuul_buildset")) == 3
