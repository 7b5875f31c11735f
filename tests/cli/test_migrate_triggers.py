"""``ci-gate migrate gerrit-trigger``: the plugin's jobs as a layout, and their triggers taken out."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
import yaml

from ci_gate.cli.main import main
from ci_gate.config.layout import load_layout
from ci_gate.sandbox.jenkins_rest import JenkinsRest

DATA = "com.sonyericsson.hudson.plugins.gerrit.trigger.hudsontrigger"


def pattern(kind, text, kind_of="Branch"):
    return f"<{DATA}.data.{kind_of}><compareType>{kind}</compareType><pattern>{text}</pattern></{DATA}.data.{kind_of}>"


def project(name, *branches, kind="PLAIN", files=()):
    return (
        f"<{DATA}.data.GerritProject><compareType>{kind}</compareType><pattern>{name}</pattern>"
        f"<branches>{''.join(branches)}</branches>"
        f"<filePaths>{''.join(pattern('ANT', each, 'FilePath') for each in files)}</filePaths>"
        f"</{DATA}.data.GerritProject>"
    )


def event(name, inner=""):
    return f"<{DATA}.events.{name}>{inner}</{DATA}.events.{name}>"


PATCHSET = event("PluginPatchsetCreatedEvent")
MASTER = pattern("PLAIN", "master")


def config(*projects, events=PATCHSET, more=""):
    return (
        "<?xml version='1.1' encoding='UTF-8'?>\n<project><description>keep me</description><triggers>"
        f"<{DATA}.GerritTrigger plugin='gerrit-trigger@2.39'><gerritProjects>{''.join(projects)}</gerritProjects>"
        f"<triggerOnEvents>{events}</triggerOnEvents>{more}</{DATA}.GerritTrigger></triggers></project>"
    )


@pytest.fixture
def migrate(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def migrated(*arguments, **jobs):
        for name, text in jobs.items():
            folder = tmp_path / "jobs" / name
            folder.mkdir(parents=True)
            (folder / "config.xml").write_text(text)
        assert main(["migrate", "gerrit-trigger", "jobs", "--force", *arguments]) == 0
        loaded = load_layout(Path("layout.yaml"))
        assert not [each for each in loaded.problems if each.level.name == "ERROR"]
        return yaml.safe_load(Path("layout.yaml").read_text()), capsys.readouterr().err

    return migrated


def test_a_plain_job_becomes_a_check_with_its_votes(migrate):
    more = "<gerritBuildSuccessfulVerifiedValue>2</gerritBuildSuccessfulVerifiedValue>"
    layout, _ = migrate(unit=config(project("demo/app", MASTER), more=more))
    (pipeline,) = layout["pipelines"]
    assert pipeline["trigger"] == {"gerrit": [{"event": "patchset-created"}]}
    assert pipeline["success"] == {"gerrit": {"verified": 2}}
    assert pipeline["failure"] == {"gerrit": {"verified": -1}}
    assert layout["jobs"] == [{"name": "unit", "branch": ["^master$"]}]
    assert layout["projects"] == [{"name": "demo/app", "check": ["unit"]}]


def test_comments_approvals_and_states_of_changes_are_kept(migrate):
    contains = "<commentAddedCommentContains>recheck</commentAddedCommentContains>"
    approval = (
        "<verdictCategory>CRVW</verdictCategory><commentAddedTriggerApprovalValue>2</commentAddedTriggerApprovalValue>"
    )
    events = (
        event("PluginPatchsetCreatedEvent", "<excludeWipState>true</excludeWipState>")
        + event("PluginCommentAddedContainsEvent", contains)
        + event("PluginCommentAddedEvent", approval)
    )
    layout, _ = migrate(unit=config(project("demo", MASTER), events=events))
    assert layout["pipelines"][0]["reject"] == {"wip": True}
    assert layout["pipelines"][0]["trigger"]["gerrit"][1:] == [
        {"event": "comment-added", "comment": "(?ms)recheck"},
        {"event": "comment-added", "approval": [{"Code-Review": 2}]},
    ]


def test_silent_jobs_report_nothing_and_jobs_that_wait_stand_below_others(migrate):
    waits = "<dependencyJobsNames>unit</dependencyJobsNames>"
    layout, said = migrate(
        unit=config(project("demo", MASTER)),
        docs=config(project("demo", MASTER), more=waits),
        quiet=config(project("demo", MASTER), more="<silentMode>true</silentMode>"),
    )
    silent = next(each for each in layout["pipelines"] if each["name"] == "check-silent")
    assert not {"start", "success", "failure"} & silent.keys()
    assert layout["projects"] == [{"name": "demo", "check": [{"unit": ["docs"]}], "check-silent": ["quiet"]}]
    assert "docs: it runs after unit, and only if that succeeds" in said


def test_patterns_are_written_as_regular_expressions_and_projects_are_looked_up(migrate, tmp_path):
    (tmp_path / "names").write_text("plugins/a\nplugins/b/c\nother\n")
    entry = project("plugins/**", pattern("ANT", "stable-*"), pattern("REG_EXP", "v\\d"), kind="ANT", files=["docs/**"])
    layout, _ = migrate("--projects", "names", unit=config(entry))
    assert [each["name"] for each in layout["projects"]] == ["plugins/a", "plugins/b/c"]
    assert layout["jobs"] == [{"name": "unit", "branch": ["^stable\\-[^/]*$", "^(?:v\\d)$"], "files": ["^docs/.*$"]}]


def test_projects_with_other_branches_get_pipelines_of_their_own(migrate):
    layout, _ = migrate(unit=config(project("one", MASTER), project("two", pattern("PLAIN", "dev"))))
    triggers = {each["name"]: each["trigger"]["gerrit"][0]["branch"] for each in layout["pipelines"]}
    assert triggers == {"check": ["^master$"], "check-2": ["^dev$"]}
    assert layout["projects"] == [{"name": "one", "check": ["unit"]}, {"name": "two", "check-2": ["unit"]}]


def test_updates_of_refs_get_a_pipeline_without_votes(migrate):
    layout, _ = migrate(unit=config(project("demo", MASTER), events=PATCHSET + event("PluginRefUpdatedEvent")))
    assert [each["name"] for each in layout["pipelines"]] == ["check", "post"]
    assert layout["jobs"][0]["branch"] == ["^(refs/heads/)?master$"]


def test_what_has_no_equivalent_is_named(migrate):
    more = "<customUrl>http://x</customUrl><dynamicTriggerConfiguration>true</dynamicTriggerConfiguration>"
    entry = project("p.*", MASTER, kind="REG_EXP")
    _, said = migrate(unit=config(entry, events=PATCHSET + event("PluginTopicChangedEvent"), more=more))
    for each in (
        "PluginTopicChangedEvent",
        "a URL of its own",
        "a list of projects that is fetched",
        "--projects FILE",
    ):
        assert each in said


@pytest.mark.parametrize(("answer", "changed"), [("yes", True), ("y", False)])
def test_triggers_are_taken_out_after_a_yes_and_kept(tmp_path, monkeypatch, capsys, answer, changed):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    with Served() as jenkins:
        job = jenkins.add("ci/unit")
        job.config = before = config(project("demo", MASTER))
        Path("ci.conf").write_text(
            f"[gearman]\nserver=127.0.0.1\n[jenkins main]\nurl={jenkins.url}\nuser=gate\ntoken=token-1\n"
        )
        status = main(["migrate", "gerrit-trigger", "--config", "ci.conf", "--jenkins", "main", "--disable-triggers"])
    assert status == (0 if changed else 1)
    assert ("GerritTrigger" not in job.config) == changed
    assert "keep me" in job.config
    if changed:
        assert Path("jenkins-backup/ci/unit/config.xml").read_text() == before


class Served:
    """The simulated Jenkins on a loop of its own, as another machine would be."""

    def __enter__(self) -> JenkinsRest:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._jenkins = JenkinsRest()
        asyncio.run_coroutine_threadsafe(self._jenkins.start(), self._loop).result(10)
        return self._jenkins

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._jenkins.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
