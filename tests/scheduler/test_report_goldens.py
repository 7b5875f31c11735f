"""Reports byte for byte, from the layout to what Gerrit, mail and database get (outputs.md 2 and 11)."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from gate_world import GateWorld
from scripted_world import NoFunctions

from ci_gate.config.layout import load_layout
from ci_gate.model.build import BuildUpdate, Worker
from ci_gate.model.event import Event
from ci_gate.model.layout import Layout
from ci_gate.model.merge import MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import Mail, ResultRecord, Review
from ci_gate.scheduler.effects import SendReport
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import BuildUpdated, LayoutReplaced, TimeCame

LAYOUT = """
pipelines:
  - name: check
    manager: IndependentPipelineManager
    trigger:
      gerrit: [{event: patchset-created}]
      timer: [{time: 0 2 * * *}]
    start: {gerrit: {Verified: 0}}
    success: {gerrit: {Verified: 1}, smtp: {to: qa@demo}, results: {score: 1}}
    failure: {gerrit: {Verified: -1}, smtp: {to: qa@demo}, results: {score: -1}}
    FURTHER: KEYS
  - name: post
    manager: IndependentPipelineManager
    trigger: {gerrit: [{event: ref-updated}]}
    success: {gerrit: {}, smtp: {to: qa@demo}, results: {score: 1}}
jobs:
  - {name: perf, voting: false, success-message: fast enough, failure-message: too slow}
  - {name: docs, success-pattern: 'docs/{build.number}', failure-pattern: 'docs/{nothing}'}
  - {name: manual, files: ^doc/}
projects:
  - {name: demo/one, check: [unit], post: [unit]}
  - {name: demo/tree, check: [{unit: [integ, perf]}]}
  - {name: demo/docs, check: [docs]}
  - {name: demo/manual, check: [manual]}
"""
CONNECTIONS = {"gerrit": "gerrit", "smtp": "smtp", "results": "sql"}
PLAIN = SchedulerSettings(url_pattern="log/{job.name}", report_times=False)
FOOTER = "footer-message: 'See https://ci.acme.test'"

START = "Starting check jobs."
SUCCESS = "Build succeeded."
FAILURE = "Build failed."
CONFLICT = (
    "Merge Failed.\n\nThis change could not be merged onto the current state of its branch. "
    "Please rebase it and upload a new patch set."
)
NEED_FAILED = "This change was not tested to the end: a change that it needs has failed or has left the queue."
TECHNICAL = (
    "This change was not tested: fetching from Gerrit failed.\n\nThis is a technical problem of the CI system, not of "
    "the change. Its operators can find more in their log."
)


def layout_with(keys: str = "") -> Layout:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layout.yaml"
        path.write_text(LAYOUT.replace("FURTHER: KEYS", keys))
        return load_layout(path, connections=CONNECTIONS).layout


class ReportWorld(GateWorld):
    """Texts are looked at as they are."""

    def _tell_report(self, effect: SendReport) -> str:
        return f"report over {effect.report.connection}"


def world_with(keys: str = "", options: SchedulerSettings = PLAIN) -> ReportWorld:
    return ReportWorld(layout_with(keys), options=options)


def reports(world: ReportWorld, kind: type) -> list:
    return [each.report for each in world.sent() if isinstance(each.report, kind)]


def last_text(world: ReportWorld) -> str:
    """Of the last report, which is the same for Gerrit and in the mail."""
    text = reports(world, Review)[-1].message
    mails = reports(world, Mail)
    assert not mails or mails[-1].body == text
    return text


def upload(world: ReportWorld, name: str = "A", project: str = "demo/one", **known: object) -> None:
    world.create(name, project, **known)
    world.uploaded(name)


def run(world: ReportWorld, job: str, result: str, *, name: str = "A", took_s: float = 0.0, **said: object) -> None:
    uuid = world.requests[job, name]
    world.step(BuildUpdated(world.at, BuildUpdate(uuid, started=True, **{"number": 7, "manager": "m", **said})))
    world.at += took_s
    world.ends(job, name, result)


# --- the rows of outputs.md 2.1, each without and with a footer ---


def conflict(world: ReportWorld) -> None:
    world.unmergeable.add("A")
    upload(world)


def technical_problem(world: ReportWorld) -> None:
    world.merge_outcomes = [MergeOutcome.FETCH] * 4
    upload(world)
    world.fire_timers(world.at + 1000)


def needed_change_failed(world: ReportWorld) -> None:
    world.create("A", "demo/one")
    upload(world, "B", needs="A")
    world.new_patch_set("A")


def all_passed(world: ReportWorld) -> None:
    upload(world)
    run(world, "unit", "SUCCESS")


def one_failed(world: ReportWorld) -> None:
    upload(world, project="demo/tree")
    run(world, "unit", "FAILURE")


def entered(world: ReportWorld) -> None:
    upload(world)


ROWS = {
    "conflict": (conflict, CONFLICT, CONFLICT),
    "technical problem": (technical_problem, TECHNICAL, TECHNICAL),
    "needed change failed": (needed_change_failed, NEED_FAILED, NEED_FAILED),
    "success": (all_passed, f"{SUCCESS}\n\n- log/unit : SUCCESS\n", SUCCESS),
    "failure": (
        one_failed,
        f"{FAILURE}\n\n- log/unit : FAILURE\n- log/integ : SKIPPED\n- log/perf : SKIPPED (non-voting)\n",
        FAILURE,
    ),
    "start": (entered, START, START),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("footer", ["", "\nSee https://ci.acme.test"], ids=["plain", "footer"])
def test_a_situation_has_its_text(row, footer):
    happens, text, without_jobs = ROWS[row]
    world = world_with(FOOTER if footer else "")
    happens(world)
    assert last_text(world) == text + footer
    if row != "start":
        assert reports(world, ResultRecord)[-1].message == without_jobs + footer


def test_a_start_names_the_status_page():
    world = world_with(FOOTER, replace(PLAIN, status_url="http://ci.acme.test:8001/"))
    entered(world)
    assert last_text(world) == f"{START}\nhttp://ci.acme.test:8001/\nSee https://ci.acme.test"


def test_the_texts_of_the_layout_stand_in_place_of_ours():
    keys = "\n    ".join(
        [
            "success-message: |-\n      Fine.\n\n      Really.",
            "failure-message: 'Oh no: \"$HOME\" ä'",
            "merge-failure-message: rebase!",
        ]
    )
    for happens, text in (
        (all_passed, "Fine.\n\nReally.\n\n- log/unit : SUCCESS\n"),
        (one_failed, ROWS["failure"][1].replace(FAILURE, 'Oh no: "$HOME" ä')),
        (conflict, "rebase!"),
        (needed_change_failed, NEED_FAILED),
        (technical_problem, TECHNICAL),
    ):
        world = world_with(keys)
        happens(world)
        assert last_text(world) == text


@pytest.mark.parametrize("footer", ["", "\nSee https://ci.acme.test"], ids=["plain", "footer"])
def test_an_item_without_jobs_is_reported_only_where_that_is_asked_for(footer):
    keys = FOOTER if footer else ""
    silent, telling = world_with(keys), world_with(keys, replace(PLAIN, report_without_jobs=True))
    for world in (silent, telling):
        upload(world, project="demo/manual")
    assert [each.message for each in reports(silent, Review)] == [START + footer]
    assert last_text(telling) == SUCCESS + footer
    assert reports(telling, Review)[-1].labels == (("Verified", 1),)


def test_a_technical_problem_has_no_votes_and_a_conflict_has():
    for happens, labels in ((technical_problem, ()), (conflict, (("Verified", -1),))):
        world = world_with()
        happens(world)
        assert reports(world, Review)[-1].labels == labels


@pytest.mark.parametrize("happens", [conflict, technical_problem])
def test_a_merge_that_failed_has_reporters_of_its_own_if_there_are_some(happens):
    world = world_with("merge-failure: {smtp: {to: merges@demo}}")
    happens(world)
    assert [each.message for each in reports(world, Review)] == [START]
    assert [each.to for each in reports(world, Mail)] == ["merges@demo"]


# --- disabled pipelines: scheduler.md 11.1 ---

DISABLED = "disable-after-consecutive-failures: 1\n    disabled: {smtp: {to: ops@demo}}"


def disabled_world(options: SchedulerSettings = PLAIN) -> ReportWorld:
    """Its first failure was reported as usual."""
    world = world_with(DISABLED, options)
    upload(world, "Z")
    run(world, "unit", "FAILURE", name="Z")
    assert [each.to for each in reports(world, Mail)] == ["qa@demo"]
    return world


@pytest.mark.parametrize("row", ["conflict", "technical problem", "needed change failed", "success", "failure"])
def test_a_disabled_pipeline_tells_its_own_reporters_what_it_would_have_told(row):
    happens, text, _ = ROWS[row]
    world = disabled_world()
    before = len(reports(world, Review))
    happens(world)
    assert [(each.to, each.body) for each in reports(world, Mail)[1:]] == [("ops@demo", text)]
    assert len(reports(world, Review)) == before, "neither starts nor results"


@pytest.mark.parametrize("asked_for", [False, True])
def test_a_disabled_pipeline_and_an_item_without_jobs(asked_for):
    world = disabled_world(replace(PLAIN, report_without_jobs=asked_for))
    upload(world, project="demo/manual")
    assert [each.body for each in reports(world, Mail)[1:]] == ([SUCCESS] if asked_for else [])


def test_a_success_does_not_enable_a_disabled_pipeline_and_a_reload_does():
    world = disabled_world()
    for name in "AB":
        upload(world, name)
        run(world, "unit", "SUCCESS", name=name)
    assert [each.to for each in reports(world, Mail)] == ["qa@demo", "ops@demo", "ops@demo"]
    world.step(LayoutReplaced(world.at, 1, layout_with(DISABLED), NoFunctions()))
    upload(world, "C")
    run(world, "unit", "SUCCESS", name="C")
    assert reports(world, Mail)[-1].to == "qa@demo"


@pytest.mark.parametrize(
    ("between", "is_disabled"),
    [("", True), ("success", False), ("conflict", True), ("technical problem", True), ("needed change failed", True)],
)
def test_only_failures_count_and_only_a_success_starts_anew(between, is_disabled):
    world = world_with("disable-after-consecutive-failures: 2\n    disabled: {smtp: {to: ops@demo}}")
    for name in ("X", between, "Y"):
        if name in ROWS:
            ROWS[name][0](world)
        elif name:
            upload(world, name)
            run(world, "unit", "FAILURE", name=name)
    world.unmergeable.clear()
    upload(world, "W")
    run(world, "unit", "SUCCESS", name="W")
    assert (reports(world, Mail)[-1].to == "ops@demo") is is_disabled


# --- job lines: outputs.md 2.2 ---


@pytest.mark.parametrize(
    ("took_s", "shown"),
    [
        (0, "0s"),
        (59, "59s"),
        (59.99, "59s"),
        (60, "1m 00s"),
        (125, "2m 05s"),
        (3600, "1h 00m 00s"),
        (90_061, "25h 01m 01s"),
    ],
)
def test_a_line_says_how_long_the_job_took(took_s, shown):
    world = world_with(options=replace(PLAIN, report_times=True))
    upload(world)
    run(world, "unit", "SUCCESS", took_s=took_s)
    assert last_text(world) == f"{SUCCESS}\n\n- log/unit : SUCCESS in {shown}\n"


@pytest.mark.parametrize(
    ("result", "shown"), [("SUCCESS", "fast enough"), ("FAILURE", "too slow"), ("ABORTED", "ABORTED"), ("LOST", "LOST")]
)
def test_a_job_that_does_not_vote_is_marked_last_and_may_have_its_own_words(result, shown):
    world = world_with(options=SchedulerSettings(url_pattern="log/{job.name}", job_name_in_report=True))
    upload(world, project="demo/tree")
    run(world, "unit", "SUCCESS", took_s=1)
    run(world, "integ", "SUCCESS", took_s=2)
    run(world, "perf", result, took_s=3)
    assert last_text(world) == (
        f"{SUCCESS}\n\n- unit log/unit : SUCCESS in 1s\n- integ log/integ : SUCCESS in 2s\n"
        f"- perf log/perf : {shown} in 3s (non-voting)\n"
    )


def test_a_job_that_never_ran_has_no_time():
    world = world_with(options=SchedulerSettings(job_name_in_report=True))
    upload(world)
    world.ends("unit", "A", "NOT_REGISTERED")
    assert last_text(world) == f"{FAILURE}\n\n- unit unit : NOT_REGISTERED\n"


# --- links: outputs.md 2.3 ---


@pytest.mark.parametrize(
    ("pattern", "link"),
    [
        ("{change.number},{change.patchset} {change.branch} {change.project}", "1,1 master demo/one"),
        ("{change.refspec} {change.status} {change.project.name}", "refs/changes/01/1/1 NEW demo/one"),
        ("{pipeline.name}/{job.name}/{build.number}/{build.result}", "check/unit/7/SUCCESS"),
        ("{build.parameters[ZUUL_CHANGE]}/{build.parameters[ZUUL_PIPELINE]}", "1/check"),
        ("{build.url}|{build.node_name}|{build.worker.name}", "http://jenkins/7/|n1|w1"),
        ("{{{job.name}}}", "{unit}"),
        ("{job.name:>6}", "  unit"),
    ],
)
def test_a_link_is_made_by_its_pattern(pattern, link):
    world = world_with(options=replace(PLAIN, url_pattern=pattern))
    upload(world)
    run(world, "unit", "SUCCESS", url="http://jenkins/7/", node_name="n1", worker=Worker("w1"))
    assert last_text(world) == f"{SUCCESS}\n\n- {link} : SUCCESS\n"
    assert Code.PATTERN_FAILED not in world.codes()


BROKEN = [
    "{",
    "}",
    "{}",
    "{0}",
    "{nothing}",
    "{change.nothing}",
    "{change.newrev}",
    "{change.__class__}",
    "{change._fields}",
    "{change.number.real}",
    "{build.parameters[NOTHING]}",
    "{build.parameters.LOG_PATH}",
    "{change.number[0]}",
    "{job.name:d}",
    "{job.name!x}",
    "{job.name:>99999999}",
    "{job.name" + "x" * 3000,
    "{build.worker.hostname}",
]


@pytest.mark.parametrize("pattern", BROKEN)
@pytest.mark.parametrize("url", ["http://jenkins/7/", None], ids=["worker's URL", "no URL"])
def test_a_pattern_that_fails_leaves_the_workers_url_or_the_jobs_name(pattern, url):
    world = world_with(options=replace(PLAIN, url_pattern=pattern))
    upload(world)
    run(world, "unit", "SUCCESS", url=url)
    assert last_text(world) == f"{SUCCESS}\n\n- {url or 'unit'} : SUCCESS\n"
    (told,) = [each for each in world.decisions if each.code is Code.PATTERN_FAILED]
    assert told.text.startswith("the link to job unit could not be made by its pattern: ")


@pytest.mark.parametrize("pattern", [None, ""])
def test_without_a_pattern_nothing_has_failed(pattern):
    world = world_with(options=replace(PLAIN, url_pattern=pattern))
    all_passed(world)
    assert last_text(world) == f"{SUCCESS}\n\n- unit : SUCCESS\n"
    assert Code.PATTERN_FAILED not in world.codes()


@pytest.mark.parametrize(
    ("result", "link"), [("SUCCESS", "docs/7"), ("FAILURE", "http://jenkins/7/"), ("UNSTABLE", "log/docs")]
)
def test_a_jobs_own_patterns_go_before_for_success_and_failure(result, link):
    world = world_with()
    upload(world, project="demo/docs")
    run(world, "docs", result, url="http://jenkins/7/")
    assert last_text(world).splitlines()[2] == f"- {link} : {result}"


# --- mail: outputs.md 3 ---


def test_the_subject_of_a_mail_names_what_it_is_about():
    world = world_with()
    all_passed(world)
    world.tell(Event("ref-updated", "gerrit", "demo/one", ref="refs/tags/1", oldrev="0" * 40, newrev="abcdef0123" * 4))
    run(world, "unit", "SUCCESS", name="demo/one")
    world.step(TimeCame(world.at, "0 2 * * *"))
    run(world, "unit", "SUCCESS", name="demo/one")
    assert [each.subject for each in reports(world, Mail)] == [
        "Report for change 1,1",
        "Report for change refs/tags/1@abcdef01",
        "Report for change demo/one",
    ]
