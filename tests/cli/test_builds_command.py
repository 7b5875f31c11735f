"""``ci-gate builds`` as people and scripts see it."""

from __future__ import annotations

import json

import pytest

from ci_gate.cli.main import main
from ci_gate.model.history import PastBuild, PastBuildSet
from ci_gate.store.journal import Journal, default_address


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "ci.conf"
    lines = ["[gearman]", "server = 127.0.0.1", "[gerrit]", "server = review.example.org", "user = ci"]
    lines += ["baseurl = https://review.example.org", "[zuul]", f"state_dir = {tmp_path}"]
    path.write_text("\n".join([*lines, f"layout_config = {tmp_path}/layout.yaml", ""]), encoding="utf-8")
    return path


@pytest.fixture
def history(tmp_path, config):
    ran = PastBuild("unit", "uuid-1", "SUCCESS", voting=True, log_url="http://logs/1", started_at=90.0, ended_at=100.0)
    flaky = PastBuild("perf", "uuid-2", "FAILURE", voting=False, started_at=95.0, ended_at=200.5)
    change = PastBuildSet(
        "i1", "Z1", 201.0, 80.0, "check", "org/app", "SUCCESS", change="12", patchset="3", builds=(ran, flaky)
    )
    noop = PastBuild("noop", "uuid-3", "SUCCESS", voting=True)
    ref = PastBuildSet("i2", "i2", 300.0, 299.0, "post", "org/lib", "SUCCESS", ref="refs/tags/1", builds=(noop,))
    journal = Journal(default_address(tmp_path))
    journal.open()
    journal.keep_history([change, ref], upto=1)
    journal.close()


def asked(capsys, config, *arguments: str) -> list[str]:
    assert main(["builds", "-c", str(config), *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_builds_are_a_table_with_the_newest_on_top(capsys, config, history):
    lines = [line.split("  ")[1:] for line in asked(capsys, config)]
    assert [[cell.strip() for cell in line if cell.strip()] for line in lines] == [
        ["SUCCESS", "noop", "org/lib", "refs/tags/1", "post", "-"],
        ["FAILURE (non-voting)", "perf", "org/app", "12,3", "check", "106 s"],
        ["SUCCESS", "unit", "org/app", "12,3", "check", "10 s", "http://logs/1"],
    ]


def test_machines_get_one_object_a_line(capsys, config, history):
    (line,) = asked(capsys, config, "--change", "12,3", "--job", "unit", "--format", "json")
    build = json.loads(line)
    assert (build["uuid"], build["end_time"], build["change"], build["zuul_ref"]) == ("uuid-1", 100.0, 12, None)


def test_each_option_asks_its_question(capsys, config, history):
    def jobs(*arguments: str) -> list[str]:
        return [json.loads(line)["job_name"] for line in asked(capsys, config, "--format", "json", *arguments)]

    assert jobs("--limit", "1") == ["noop"]
    assert jobs("--project", "org/app") == jobs("--pipeline", "check") == jobs("--change", "12") == ["perf", "unit"]
    assert jobs("--result", "failure") == ["perf"]
    assert jobs("--from", "150", "--to", "250") == ["perf"]
    assert jobs("--from", "1d") == []
    assert jobs("--branch", "master") == []


def test_nothing_found_prints_nothing(capsys, config, history):
    assert asked(capsys, config, "--job", "other") == []


def test_where_no_service_ever_ran_that_is_said(capsys, config):
    assert main(["builds", "-c", str(config)]) == 1
    assert capsys.readouterr().err == (
        "ci-gate builds: there is no journal yet: no service has run with this configuration\n"
    )


@pytest.mark.parametrize("wrong", [["--change", "x"], ["--limit", "0"], ["--from", "yesterday"]])
def test_a_wrong_value_is_a_usage_error(capsys, config, wrong):
    with pytest.raises(SystemExit) as left:
        main(["builds", "-c", str(config), *wrong])
    assert left.value.code == 2
