"""Databases that are away, hang, come back or can never be: nobody is harmed, and no secret is told."""

from __future__ import annotations

import asyncio
import socket

import pytest
from results_parts import RECORD, results, rows

from ci_gate.model.operations import ConnectionState
from ci_gate.model.report import DeliveryOutcome
from ci_gate.sql import address
from ci_gate.sql.address import engine_for, without_secrets

pytestmark = pytest.mark.xdist_group("databases")

DELIVERED, REFUSED, UNREACHABLE = DeliveryOutcome.DELIVERED, DeliveryOutcome.REFUSED, DeliveryOutcome.UNREACHABLE


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request):
    return request.getfixturevalue(request.param)


async def test_a_database_that_is_away_at_the_start_is_used_when_it_comes(server):
    dburi = server.new_database()
    server.stop()
    with results(dburi) as database:
        looking = asyncio.create_task(database.look(first_pause_s=0.01))
        assert (await database.write(RECORD)).outcome is UNREACHABLE
        assert database.health.state is ConnectionState.CONNECTING
        assert "refused" in database.health.detail
        server.start()
        async with asyncio.timeout(20):
            await looking
        assert database.health.state is ConnectionState.UP
        assert (await database.write(RECORD)).outcome is DELIVERED
    assert len(rows(dburi, "zuul_buildset")) == 1


async def test_a_database_that_goes_away_is_used_when_it_is_back(server):
    dburi = server.new_database()
    with results(dburi) as database:
        assert (await database.write(RECORD)).outcome is DELIVERED
        server.stop()
        assert (await database.write(RECORD)).outcome is UNREACHABLE
        server.start()
        assert (await database.write(RECORD)).outcome is DELIVERED
        assert database.health.state is ConnectionState.UP
    assert len(rows(dburi, "zuul_buildset")) == 2


async def test_a_database_that_was_emptied_meanwhile_gets_its_tables_again(tmp_path):
    file = tmp_path / "results.db"
    with results(f"sqlite:///{file}") as database:
        await database.write(RECORD)
        file.unlink()
        assert (await database.write(RECORD)).outcome is UNREACHABLE
        assert (await database.write(RECORD)).outcome is DELIVERED
    assert len(rows(f"sqlite:///{file}", "zuul_build")) == 2


@pytest.mark.parametrize("driver", ["postgresql", "mysql"])
async def test_a_server_that_says_nothing_is_given_up_in_time(monkeypatch, driver):
    limits = {name: {**given, "connect_timeout": 2, "read_timeout": 2} for name, given in address.LIMITS.items()}
    del limits["psycopg"]["read_timeout"]
    monkeypatch.setattr(address, "LIMITS", limits)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        results(f"{driver}://u:p@127.0.0.1:{silent.getsockname()[1]}/d") as database,
    ):
        async with asyncio.timeout(10):
            assert (await database.write(RECORD)).outcome is UNREACHABLE


async def test_a_sqlite_file_that_is_locked_or_cannot_be_made_is_waited_for(tmp_path):
    with results(f"sqlite:///{tmp_path / 'missing' / 'results.db'}") as database:
        delivery = await database.write(RECORD)
        assert (delivery.outcome, delivery.text) == (UNREACHABLE, "unable to open database file")
        (tmp_path / "missing").mkdir()
        assert (await database.write(RECORD)).outcome is DELIVERED


async def test_a_wrong_password_is_told_without_the_password(postgresql):
    dburi = postgresql.url("postgres").replace("correct horse", "hunter2")
    with results(dburi) as database:
        delivery = await database.write(RECORD)
        told = f"{delivery}{database.health}{database._settings}"
    assert delivery.outcome is UNREACHABLE
    assert "password authentication failed" in delivery.text
    assert "hunter2" not in told


@pytest.mark.parametrize(
    ("dburi", "reason"),
    [
        ("nonsense with hunter2", "it is not an address as SQLAlchemy writes it"),
        ("oracle+oracledb://u:hunter2@h/d", "its driver is missing: No module named 'oracledb'"),
        ("acme://u:hunter2@h/d", "there is no driver for acme databases"),
    ],
)
async def test_an_address_that_can_never_be_used_is_refused_and_told(dburi, reason):
    with results(dburi) as database:
        async with asyncio.timeout(10):
            await database.look()
        delivery = await database.write(RECORD)
        assert database.health.state is ConnectionState.DOWN
    assert delivery.outcome is REFUSED
    assert reason in delivery.text
    assert "hunter2" not in delivery.text


@pytest.mark.parametrize(
    ("dburi", "driver"),
    [
        ("postgresql://u:p@h/d", "psycopg"),
        ("postgres://u:p@h/d", "psycopg"),
        ("postgresql+psycopg2://u:p@h/d", "psycopg"),
        ("mysql://u:p@h/d", "pymysql"),
        ("mysql+mysqldb://u:p@h/d", "pymysql"),
        ("mysql+pymysql://u:p@h/d?charset=utf8", "pymysql"),
        ("sqlite:///results.db", "pysqlite"),
    ],
)
def test_addresses_written_for_zuul_2_find_a_driver_that_is_there(dburi, driver):
    engine = engine_for(dburi)
    assert engine.dialect.driver == driver
    assert "hunter2" not in repr(engine)


def test_texts_of_drivers_lose_what_is_secret():
    dburi = "postgresql://ci:s3cr%25t@db/results?passfile=/etc/pgpass"
    said = f'cannot use "{dburi}", nor s3cr%t, nor /etc/pgpass'
    assert without_secrets(said, dburi) == 'cannot use "***", nor ***, nor ***'
