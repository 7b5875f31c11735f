"""Queries: what real Gerrits answered, and what the simulated one answers over SSH (gerrit-wire.md 4)."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from gerrit_parts import PROJECT, VERSIONS, recorded_commands, when

from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit import query as query_module
from ci_gate.gerrit.commands import CommandResult
from ci_gate.gerrit.query import QueryFailedError, details_of, query_change, search_changes
from ci_gate.gerrit.ssh_access import SshAccess
from ci_gate.model.search import Search, SearchKind


def answered(sample) -> CommandResult:
    lines = [json.dumps(each) for each in sample["stdout"]]
    return CommandResult(sample["exit"], "\n".join(lines), "\n".join(sample["stderr"]))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recorded_answer_is_read_whole(version):
    (record,) = query_module._records(answered(recorded_commands(version)["query-everything"]))
    found = details_of(record, "gerrit")
    assert (found.number, found.project, found.branch, found.status) == ("1", "demo/alpha", "master", found.status)
    assert [each.number for each in found.patch_sets] == sorted((each.number for each in found.patch_sets), key=int)
    assert all("/COMMIT_MSG" in each.files for each in found.patch_sets)
    assert found.owner.username == "dev"
    assert found.commit_message.startswith("Add a small file")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_changes_that_it_stands_on_are_known(version):
    (record,) = query_module._records(answered(recorded_commands(version)["query-series-second"]))
    (below,) = details_of(record, "gerrit").depends_on
    assert int(below.number) > 0
    assert int(below.patchset) > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_no_such_change_is_no_record(version):
    assert query_module._records(answered(recorded_commands(version)["query-nothing"])) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["query-error", "query-error-operator"])
def test_an_error_with_exit_status_0_is_an_error(version, name):
    with pytest.raises(QueryFailedError):
        query_module._records(answered(recorded_commands(version)[name]))


@pytest.mark.parametrize("stdout", ["", '{"project": "p"}', '{"project": "p"}\n{"type": "sta', "Welcome!"])
def test_an_answer_that_is_not_whole_is_asked_for_again(stdout):
    with pytest.raises(QueryFailedError) as failed:
        query_module._records(CommandResult(0, stdout, ""))
    assert failed.value.transient


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x85"])
def test_a_row_ends_at_a_line_feed_only(sign):
    """JSON may hold these as they are; for Python they end lines too."""
    row = json.dumps({"project": "p", "commitMessage": f"one{sign}two"}, ensure_ascii=False)
    (record,) = query_module._records(CommandResult(0, f'{row}\n{{"type": "stats", "rowCount": 1}}\n', ""))
    assert record["commitMessage"] == f"one{sign}two"


class OldGerrit:
    """In the place of a pool: a server before 2.9, which gives two rows and does not say that it has more."""

    def __init__(self, numbers: int) -> None:
        self.rows = [
            {"project": PROJECT, "branch": "master", "number": str(each), "sortKey": f"00{100 - each}"}
            for each in range(1, numbers + 1)
        ]
        self.asked: list[str] = []
        self.batchings: dict = {}
        self.settings = GerritSettings("gerrit", "review.example.org", "ci")

    async def run(self, command, **_) -> CommandResult:
        text = command if isinstance(command, str) else command()
        self.asked.append(shlex.split(text)[-1])
        after = re.search(r" resume_sortkey:(\S+)", text.rstrip("'"))
        numbers = re.findall(r"change:(\d+)", text)
        left = [row for row in self.rows if after is None or row["sortKey"] < after[1]]
        page = [row for row in left if not numbers or row["number"] in numbers][:2]
        lines = [*page, {"type": "stats", "rowCount": len(page), "runTimeMilliseconds": 1}]
        return CommandResult(0, "\n".join(map(json.dumps, lines)), "")


async def test_a_server_that_does_not_say_that_there_are_more_is_asked_on_from_the_last_row():
    server = OldGerrit(5)
    found = await search_changes(server, Search(SearchKind.OPEN_IN_PROJECT, PROJECT))
    assert [each.number for each in found] == ["1", "2", "3", "4", "5"]
    terms = f"project:{{{PROJECT}}} status:open"
    assert server.asked == [terms, *(f"{terms} resume_sortkey:00{each}" for each in (98, 96, 95))]


async def test_missed_events_are_looked_for_on_all_pages_of_such_a_server_too():
    access = SshAccess(GerritSettings("gerrit", "review.example.org", "ci"))
    access.pool = OldGerrit(5)
    found = [each["number"] async for each in access.updated_changes([PROJECT], 60)]
    assert found == ["1", "2", "3", "4", "5"]
    assert not any("--start" in each for each in access.pool.asked)


async def test_a_change_is_found_with_votes_files_and_patch_sets(gerrit, pool, change):
    gerrit.comment(change.number, by="ci", votes={"Verified": -1})
    found = await query_change(pool, str(change.number))
    assert (found.project, found.branch, found.number, found.current_patchset) == (PROJECT, "master", "1", "1")
    assert [(vote.label, vote.value, vote.by.username) for vote in found.votes] == [("Verified", -1, "ci")]
    assert set(found.patch_set("1").files) == {"/COMMIT_MSG", "file"}
    assert found.patch_set("1").revision == change.current.revision


async def test_an_unknown_change_is_none(pool):
    assert await query_change(pool, "4711") is None


async def test_a_failure_says_why_and_that_it_may_pass(gerrit, pool, change):
    gerrit.faults.fail("query", "fatal: internal server error")
    with pytest.raises(QueryFailedError, match="internal server error") as failed:
        await query_change(pool, str(change.number))
    assert failed.value.transient


async def test_a_cut_answer_is_asked_for_again_at_once(gerrit, pool, change):
    gerrit.faults.cut("query")
    assert (await query_change(pool, str(change.number))).number == "1"


async def test_a_stuck_answer_ends_at_its_deadline(gerrit, pool, change, monkeypatch):
    monkeypatch.setattr(query_module, "QUERY_S", 0.5)
    gerrit.faults.stall("query", times=5)
    with pytest.raises(QueryFailedError) as failed:
        await query_change(pool, str(change.number))
    assert failed.value.transient
    gerrit.faults.clear()
    assert await query_change(pool, str(change.number)) is not None


async def test_a_gerrit_that_is_away_is_a_failure_that_may_pass(gerrit, pool, change):
    await query_change(pool, str(change.number))
    gerrit.stop()
    with pytest.raises(QueryFailedError, match="cannot reach Gerrit") as failed:
        await query_change(pool, str(change.number))
    assert failed.value.transient
    gerrit.start()
    await when(lambda: True, "nothing")
    assert await query_change(pool, str(change.number)) is not None
