"""``ci-gate shadow report`` at the record of a shadow."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ci_gate.cli.main import main
from ci_gate.scheduler.codec import encode
from ci_gate.shadow.said import JobResult, Kind, Said, Side
from ci_gate.store.journal import Journal, default_address
from ci_gate.store.shadow import MARK, ShadowRecord

UNIT = JobResult("unit", "SUCCESS")
LIVE = Said(
    "live 1", 1_700_000_000.0, Side.LIVE, Kind.SUCCEEDED, "gerrit", "demo/app", "12", "3", "check", jobs=(UNIT,)
)
OURS = replace(LIVE, id="shadow 1", side=Side.SHADOW, answered_by="live 1", decisions=("because",))


class Record:
    def __init__(self, folder) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        (self.state / MARK).touch()
        self.config = folder / "ci.conf"
        self.config.write_text(
            f"[gearman_server]\nstart=true\n[gerrit]\nserver=x\nuser=ci\n[merger]\nzuul_url=http://x/p\n"
            f"[zuul]\nstate_dir={self.state}\nlayout_config={folder}/layout.yaml\n"
        )

    def keep(self, *said: Said) -> None:
        journal = Journal(default_address(self.state))
        journal.open()
        journal.close()
        record = ShadowRecord(default_address(self.state))
        for each in said:
            record.add(each.id, each.at, json.dumps(encode(each, Said)))

    def report(self, *arguments: str) -> int:
        return main(["shadow", "report", "--config", str(self.config), *arguments])


@pytest.fixture
def record(tmp_path):
    return Record(tmp_path)


def test_no_difference_is_status_0(record, capsys):
    record.keep(LIVE, OURS)
    assert record.report() == 0
    assert capsys.readouterr().out == "1 item compared: 1 equal, 0 differing; 0 wait for the other side\n"


def test_a_difference_is_told_with_what_was_decided_and_is_status_1(record, capsys):
    record.keep(LIVE, replace(OURS, jobs=(UNIT, replace(UNIT, job="docs"))))
    assert record.report() == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "  other jobs: 1"
    assert lines[-2:] == ["    only the shadow runs docs", "      shadow decided: because"]
    assert record.report("--format", "json") == 1
    assert json.loads(capsys.readouterr().out)["differences"][0]["details"] == ["only the shadow runs docs"]


@pytest.mark.parametrize(
    ("arguments", "differences"),
    [
        (("--from", "2023-11-14T22:13:21+00:00"), 0),
        (("--to", "2023-11-14T22:13:20+00:00"), 0),
        (("--from", "2023-11-14T22:13:20+00:00", "--to", "2023-11-15T22:13:20+00:00"), 1),
        (("--pipeline", "gate"), 0),
        (("--pipeline", "check"), 1),
    ],
)
def test_a_part_of_the_record(record, capsys, arguments, differences):
    record.keep(LIVE)
    record.report("--format", "json", *arguments)
    assert len(json.loads(capsys.readouterr().out)["differences"]) == differences


def test_where_no_shadow_has_worked(record, capsys):
    (record.state / MARK).unlink()
    assert record.report() == 1
    assert "no shadow has worked" in capsys.readouterr().err


def test_a_record_that_cannot_be_read(record, capsys):
    assert record.report() == 1
    said = capsys.readouterr().err
    assert "cannot be read" in said
    assert "Traceback" not in said


def test_a_time_that_is_none(record, capsys):
    with pytest.raises(SystemExit) as refused:
        record.report("--from", "yesterday")
    assert refused.value.code == 2
    assert "'yesterday' is no time" in capsys.readouterr().err
