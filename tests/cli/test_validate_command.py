"""``ci-gate validate`` as people and scripts meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ci_gate.cli.main import main

ETC = Path(__file__).parent.parent.parent / "etc"
LAYOUT = """pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit:
        - event: patchset-created
projects:
  - name: demo/app
    check:
      - demo-unit
"""
CONFIG = """[gearman]
server=127.0.0.1
[gerrit]
server=review.example.org
user=ci
[zuul]
layout_config=layout.yaml
state_dir=state
"""


@pytest.fixture
def layout(tmp_path):
    path = tmp_path / "layout.yaml"
    path.write_text(LAYOUT)
    return path


def test_the_example_is_valid(capsys):
    assert main(["validate", str(ETC / "layout.yaml"), "--config", str(ETC / "ci.conf")]) == 0
    *notices, verdict = capsys.readouterr().out.splitlines()
    assert verdict == f"{ETC / 'layout.yaml'} is valid: 1 pipeline, 1 job, 1 project, 0 shared queues"
    assert all(": notice: " in each and "moved to [merger]" in each for each in notices)


@pytest.mark.parametrize("given", [["{}"], ["-l", "{}"], ["--layout", "{}"]])
def test_the_layout_may_be_named_as_for_serve(layout, capsys, given):
    config = layout.with_name("ci.conf")
    config.write_text(CONFIG.replace("layout.yaml", "another.yaml"))
    assert main(["validate", "-c", str(config), *(each.format(layout) for each in given)]) == 0
    assert f"{layout} is valid" in capsys.readouterr().out


def test_jobs_under_a_pipeline_that_does_not_exist_are_refused_with_the_nearest_name(layout, capsys):
    layout.write_text(LAYOUT.replace("    check:\n      - demo", "    testcheck:\n      - demo"))
    assert main(["validate", str(layout)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        (
            f'{layout}:9:5: error: unknown pipeline "testcheck" in project "demo/app"; did you mean "check"? '
            "defined pipelines: check [unknown-pipeline]"
        ),
        "        testcheck:",
        "        ^",
        f"{layout} is refused: 1 error",
    ]


def test_warnings_are_shown_and_count_only_when_strict(layout, capsys):
    layout.write_text(LAYOUT.replace("    check:\n      - demo-unit", "    check: demo-unit"))
    assert main(["validate", str(layout)]) == 0
    assert "warning: check should be a list" in capsys.readouterr().out
    assert main(["validate", "--strict", str(layout)]) == 1
    assert "is refused (--strict)" in capsys.readouterr().out


def test_notes_are_shown_on_request_only(layout, capsys):
    layout.write_text(LAYOUT + "jobs:\n  - name: nobody-has-it\n")
    assert main(["validate", str(layout)]) == 0
    assert "unused" not in capsys.readouterr().out
    assert main(["validate", "--notes", str(layout)]) == 0
    assert 'note: job "nobody-has-it" is unused' in capsys.readouterr().out


def test_jobs_that_are_not_in_the_list_are_named(layout, tmp_path, capsys):
    jobs = tmp_path / "jobs.txt"
    jobs.write_text("\n  demo-lint  \n")
    assert main(["validate", "--jobs", str(jobs), str(layout)]) == 1
    assert 'job "demo-unit" is not in the list' in capsys.readouterr().out
    jobs.write_text("demo-unit\n")
    assert main(["validate", "--jobs", str(jobs), str(layout)]) == 0


def test_machines_get_json(layout, capsys):
    layout.write_text(LAYOUT.replace("event: patchset-created", "event: patchset-uploaded"))
    assert main(["validate", "--format", "json", str(layout)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["accepted"] is False
    (problem,) = document["problems"]
    assert (problem["line"], problem["column"], problem["code"]) == (6, 18, "bad-value")
    layout.write_text(LAYOUT)
    assert main(["validate", "--format", "json", str(layout)]) == 0
    assert json.loads(capsys.readouterr().out)["summary"] == {
        "pipelines": 1,
        "jobs": 1,
        "projects": 1,
        "shared_queues": 0,
    }


def test_the_configuration_says_which_connections_there_are(layout, tmp_path, capsys):
    config = tmp_path / "ci.conf"
    config.write_text(CONFIG.replace("layout.yaml", str(layout)))
    layout.write_text(LAYOUT.replace("      gerrit:", "      review:"))
    assert main(["validate", str(layout)]) == 0, "without a configuration any name may be a connection"
    capsys.readouterr()
    assert main(["validate", "--config", str(config)]) == 1
    assert 'unknown trigger "review" in pipeline "check"; available: gerrit, timer, zuul' in capsys.readouterr().out


def test_problems_of_the_configuration_are_shown_too(layout, tmp_path, capsys):
    config = tmp_path / "ci.conf"
    config.write_text(CONFIG.replace("user=ci", "user=ci\nport=many"))
    assert main(["validate", "--config", str(config), str(layout)]) == 1
    assert f"{config}:6:" in capsys.readouterr().out


def test_a_configuration_without_anything_is_refused_with_all_that_is_missing(tmp_path, capsys):
    config = tmp_path / "ci.conf"
    config.write_text("")
    assert main(["validate", "--config", str(config)]) == 1
    told = capsys.readouterr().out
    assert "[gearman] server is missing" in told
    assert "the configuration is refused" in told


WIDTHS = {"narrow": ("äöü", 3), "wide": ("中文字", 6), "combining": ("e\u0301e", 2), "tab": ("a\tb", 3)}


@pytest.mark.parametrize(("name", "indent"), WIDTHS.values(), ids=WIDTHS)
def test_the_caret_stands_below_the_character(layout, capsys, name, indent):
    project = f'  - {{name: "{name}", chek: []}}\n'
    layout.write_text(LAYOUT.replace("projects:\n", f"projects:\n{project}"))
    assert main(["validate", str(layout)]) == 1
    _, excerpt, caret, *_ = capsys.readouterr().out.splitlines()
    assert caret == " " * (4 + len('  - {name: "') + indent + len('", ')) + "^", excerpt


def test_the_line_below_is_the_one_that_yaml_counted(layout, capsys):
    layout.write_text(LAYOUT.replace("pipelines:", "# a\u2028# b\x85pipelines:").replace("    check:\n", "    chek:\n"))
    assert main(["validate", str(layout)]) == 1
    headline, excerpt, *_ = capsys.readouterr().out.splitlines()
    assert f"{layout}:11:5: error" in headline
    assert excerpt == "        chek:"


def test_nothing_of_a_file_reaches_the_terminal_as_a_command(layout, capsys):
    layout.write_text(LAYOUT + "# \x1b[31m red\n")
    assert main(["validate", str(layout)]) == 1
    told = capsys.readouterr().out
    assert "U+001B is not allowed" in told
    assert "\x1b" not in told


def test_a_list_of_jobs_that_cannot_be_read_is_a_matter_of_usage(capsys):
    assert main(["validate", "--jobs", "/no/such/jobs", "x.yaml"]) == 2
    assert "/no/such/" in capsys.readouterr().err


def test_a_configuration_that_is_not_there_is_one_clear_line(tmp_path, monkeypatch, capsys):
    assert main(["validate", "--config", "/no/such/ci.conf"]) == 1
    assert "/no/such/ci.conf: error: there is no such configuration file\n" in capsys.readouterr().err
    monkeypatch.setattr("ci_gate.config.read_settings.PLACES", (tmp_path / "ci.conf", tmp_path / "zuul.conf"))
    assert main(["validate"]) == 1
    assert f"tried {tmp_path}/ci.conf, {tmp_path}/zuul.conf" in capsys.readouterr().err


def test_a_layout_that_is_not_there_is_one_clear_line(tmp_path, capsys):
    assert main(["validate", str(tmp_path / "none.yaml")]) == 1
    assert "cannot read the layout: No such file or directory" in capsys.readouterr().out


def test_an_unknown_option_is_a_matter_of_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["validate", "--colour", "x.yaml"])
    assert ended.value.code == 2
    assert "--colour" in capsys.readouterr().err


def test_code_scanners_get_sarif(layout, capsys):
    layout.write_text(LAYOUT.replace("event: patchset-created", "event: patchset-uploaded"))
    assert main(["validate", "--format", "sarif", str(layout)]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    assert run["tool"]["driver"]["rules"] == [{"id": "bad-value"}]
    assert run["columnKind"] == "unicodeCodePoints"
    (result,) = run["results"]
    assert (result["ruleId"], result["level"]) == ("bad-value", "error")
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": str(layout)}, "region": {"startLine": 6, "startColumn": 18}}


def test_paths_in_sarif_are_addresses(tmp_path, capsys):
    path = tmp_path / "my layout.yaml"
    path.write_text("x")
    assert main(["validate", "--format", "sarif", str(path)]) == 1
    assert "my%20layout.yaml" in capsys.readouterr().out


def test_workflows_get_annotations_in_which_nothing_can_break_out(layout, capsys):
    layout.write_text(LAYOUT.replace("event: patchset-created", 'event: "100%\\n::error::x"'))
    assert main(["validate", "--format", "github", str(layout)]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"::error file={layout},line=6,col=18,title=bad-value::event: ")
    assert "100%25\\n::error::x" in line  # the problem's own text is one line already


@pytest.mark.parametrize("name", ["json", "sarif", "github"])
def test_a_layout_without_problems_is_an_empty_report(layout, capsys, name):
    assert main(["validate", "--format", name, str(layout)]) == 0
    assert "error" not in capsys.readouterr().out


def test_a_reviewer_sees_what_an_edit_changes(layout, tmp_path, capsys):
    base = tmp_path / "base.yaml"
    base.write_text(LAYOUT + "      - docs\njobs:\n  - {name: docs, branch: ^stable/x$}\n")
    layout.write_text(
        LAYOUT + "      - lint\n  - name: demo/lib\n    check: [docs]\njobs:\n  - {name: demo-unit, voting: false}\n"
    )
    assert main(["validate", str(layout), "--base", str(base)]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "check:",
        "  demo/app: +lint (on master, main)",
        "  demo/app: +lint -docs (on stable/x)",
        "  demo/lib: +docs",
        "jobs:",
        "  demo-unit: voting (default) → false",
        '  docs: branch ["^stable/x$"] → (default)',
    ]


def test_an_edit_without_effect_is_called_so(layout, tmp_path, capsys):
    base = tmp_path / "base.yaml"
    base.write_text("# a comment\n" + LAYOUT)
    assert main(["validate", str(layout), "--base", str(base)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing that runs changes."
    assert main(["validate", str(layout), "--base", str(base), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["edit"] == {"jobs": [], "attributes": []}


def test_a_base_with_errors_is_a_matter_of_usage(layout, tmp_path, capsys):
    base = tmp_path / "base.yaml"
    base.write_text("pipelines: []\n")
    assert main(["validate", str(layout), "--base", str(base)]) == 2
    assert "has errors of its own" in capsys.readouterr().err


def test_a_plain_check_imports_nothing_of_the_service(layout):
    program = (
        "import sys\nfrom ci_gate.cli.main import main\n"
        f"assert main(['validate', {str(layout)!r}]) == 0\n"
        "print([name for name in ('paramiko', 'aiohttp', 'gear', 'structlog', 'asyncio') if name in sys.modules])\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines()[-1] == "[]"
