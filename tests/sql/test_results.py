"""What a results database holds after reports: Zuul's rows in Zuul's tables (outputs.md 4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from results_parts import (
    RECORD,
    REF,
    SKIPPED,
    START,
    TIMER,
    UNIT,
    execute,
    make_zuuls_database,
    results,
    rows,
    structure,
)

from ci_gate.model.report import BuildRecord, DeliveryOutcome, ResultRecord

pytestmark = pytest.mark.xdist_group("databases")


async def write(dburi, *records: ResultRecord) -> None:
    with results(dburi) as database:
        for each in records:
            delivery = await database.write(each)
            assert delivery.outcome is DeliveryOutcome.DELIVERED, delivery.text


async def test_a_report_is_a_row_and_each_of_its_builds_is_one(dburi):
    await write(dburi, RECORD)
    (buildset,) = rows(dburi, "zuul_buildset")
    assert buildset == {
        "id": 1,
        "zuul_ref": REF,
        "pipeline": "gate",
        "project": "acme/app",
        "change": 110,
        "patchset": 3,
        "ref": "refs/changes/10/110/3",
        "score": 1,
        "message": "Build succeeded.",
    }
    unit, skipped = rows(dburi, "zuul_build")
    kept = ("buildset_id", "uuid", "job_name", "result", "voting", "log_url", "node_name")
    assert [unit[each] for each in kept] == [1, UNIT.uuid, "unit", "SUCCESS", True, UNIT.log_url, "node-7"]
    assert [skipped[each] for each in kept] == [1, None, "integ", "SKIPPED", False, "integ", None]


async def test_times_are_local_and_have_no_zone(dburi):
    await write(dburi, RECORD)
    unit, skipped = rows(dburi, "zuul_build")
    seen = [datetime.fromisoformat(str(unit[each])) for each in ("start_time", "end_time")]
    wanted = [datetime.fromtimestamp(each) for each in (UNIT.started_at, UNIT.ended_at)]  # noqa: DTZ006  # local it is
    assert [each.replace(microsecond=0) for each in seen] == [each.replace(microsecond=0) for each in wanted]
    assert (skipped["start_time"], skipped["end_time"]) == (None, None)


async def test_what_is_no_change_has_no_number(dburi):
    tag = replace(TIMER, ref="refs/tags/1.0")
    await write(dburi, tag, TIMER)
    known = [
        [each[name] for name in ("zuul_ref", "change", "patchset", "ref")] for each in rows(dburi, "zuul_buildset")
    ]
    assert known == [[None, None, None, "refs/tags/1.0"], [None, None, None, None]]


async def test_an_empty_database_gets_zuuls_tables_and_the_indexes_that_they_lack(dburi):
    await write(dburi, RECORD)
    made = structure(dburi)
    indexes = {table: made[table].pop("indexes") for table in made}
    assert rows(dburi, "alembic_version") == [{"version_num": "4d3ebd7f06b9"}]
    assert indexes["zuul_buildset"] == ["zuul_buildset_project_change"]
    assert {"zuul_build_buildset_id", "zuul_build_job_name_start_time", "zuul_build_uuid"} <= set(indexes["zuul_build"])

    execute(dburi, "DROP TABLE zuul_build; DROP TABLE zuul_buildset; DROP TABLE alembic_version")
    make_zuuls_database(dburi)
    zuuls = structure(dburi)
    for each in (made, zuuls):
        each["alembic_version"].pop("primary key")  # newer releases of alembic make one
    assert made == {table: {name: seen[name] for name in seen if name != "indexes"} for table, seen in zuuls.items()}


async def test_a_database_of_zuul_2_gets_rows_and_nothing_else(dburi):
    make_zuuls_database(dburi)
    before = structure(dburi)
    await write(dburi, RECORD, START)
    assert structure(dburi) == before
    assert [each["zuul_ref"] for each in rows(dburi, "zuul_buildset")] == ["Zold", REF, None]
    assert [each["buildset_id"] for each in rows(dburi, "zuul_build")] == [1, 2, 2]


@pytest.mark.parametrize(
    "left",
    [
        "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)",
        "CREATE TABLE zuul_buildset (id INTEGER NOT NULL PRIMARY KEY)",
    ],
)
async def test_making_the_tables_goes_on_where_it_was_broken_off(tmp_path, left):
    dburi = f"sqlite:///{tmp_path / 'results.db'}"
    execute(dburi, left)
    with results(dburi) as database:
        await database.look()
    assert set(structure(dburi)) == {"alembic_version", "zuul_buildset", "zuul_build"}
    assert rows(dburi, "alembic_version") == [{"version_num": "4d3ebd7f06b9"}]


async def test_tables_of_another_version_are_left_alone(dburi):
    execute(dburi, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    execute(dburi, "INSERT INTO alembic_version VALUES ('1dd914d4a482')")
    with results(dburi) as database:
        delivery = await database.write(RECORD)
    assert delivery.outcome is DeliveryOutcome.UNREACHABLE
    assert "version 1dd914d4a482, not 4d3ebd7f06b9" in delivery.text
    assert set(structure(dburi)) == {"alembic_version"}


async def test_what_is_too_long_is_cut(dburi):
    build = BuildRecord("u" * 99, "j" * 300, "r" * 300, True, "https://" + "l" * 300, node_name="ä" * 300)
    await write(
        dburi, replace(RECORD, project="p" * 300, ref="refs/" + "x" * 300, message="ä" * 70_000, builds=(build,))
    )
    (buildset,), (unit,) = rows(dburi, "zuul_buildset"), rows(dburi, "zuul_build")
    assert (buildset["project"], len(buildset["ref"])) == ("p" * 255, 255)
    assert buildset["message"] == "ä" * (65_535 // 2)
    assert [len(unit[each]) for each in ("uuid", "job_name", "result", "log_url", "node_name")] == [36, *[255] * 4]


async def test_characters_that_no_database_takes_do_not_cost_the_row(dburi):
    broken = replace(UNIT, result="known\0 flake \ud83d", log_url="https://logs.acme.test/ä€😀")
    await write(dburi, replace(RECORD, message="Grün: 😀 'quoted' %s :name", builds=(broken,)))
    (buildset,), (unit,) = rows(dburi, "zuul_buildset"), rows(dburi, "zuul_build")
    assert buildset["message"] == "Grün: 😀 'quoted' %s :name"
    assert (unit["result"], unit["log_url"]) == ("known flake ?", "https://logs.acme.test/ä€😀")


@pytest.mark.parametrize(
    ("server", "options"),
    [("postgresql", "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"), ("mariadb", "CHARACTER SET latin1")],
)
async def test_a_database_with_an_old_encoding_gets_question_marks(request, server, options):
    dburi = request.getfixturevalue(server).new_database(options)
    await write(dburi, replace(RECORD, message="Build succeeded 😀."))
    assert [each["message"] for each in rows(dburi, "zuul_buildset")] == ["Build succeeded ?."]


async def test_numbers_that_are_none_are_left_out(dburi):
    await write(dburi, replace(RECORD, change="9" * 30, patchset="x", score=10**12))
    (buildset,) = rows(dburi, "zuul_buildset")
    assert (buildset["change"], buildset["patchset"], buildset["score"]) == (None, None, 2**31 - 1)


async def test_a_record_that_the_database_will_never_take_is_refused_once(postgresql):
    dburi = postgresql.new_database()
    make_zuuls_database(dburi)
    execute(dburi, "ALTER TABLE zuul_build ALTER COLUMN uuid SET NOT NULL")
    with results(dburi) as database:
        delivery = await database.write(RECORD)
        assert delivery.outcome is DeliveryOutcome.REFUSED
        assert "the database does not take the record" in delivery.text
        whole = replace(RECORD, builds=(UNIT,))
        assert (await database.write(whole)).outcome is DeliveryOutcome.DELIVERED
    assert len(rows(dburi, "zuul_buildset")) == 2, "the old row and the last: of the refused one nothing stays"


async def test_builds_that_did_not_run_are_told_from_those_that_did(dburi):
    await write(dburi, replace(RECORD, builds=(SKIPPED, UNIT)))
    assert [each["start_time"] is None for each in rows(dburi, "zuul_build")] == [True, False]
