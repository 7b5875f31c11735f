"""Comments of a live system, read back: those that our own words make, and those that Zuul 2 posts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_gate.model.item import BuildView, JobView
from ci_gate.model.layout import GerritReporter, Job, JobNode, Layout, Pipeline, Project
from ci_gate.model.merge import MergeAnswer, MergeOutcome
from ci_gate.model.options import SchedulerSettings
from ci_gate.scheduler import messages
from ci_gate.shadow.comments import labels_given, read_comment
from ci_gate.shadow.said import JobResult, Kind

PROJECT = "demo/app"


def pipeline(name: str, vote: int, **options: object) -> Pipeline:
    success = (GerritReporter("gerrit", (("Verified", vote),)),)
    failure = (GerritReporter("gerrit", (("Verified", -vote),)),)
    return Pipeline(name, success=success, failure=failure, **options)


def layout(*jobs: Job, pipelines: tuple[Pipeline, ...] = (pipeline("check", 1), pipeline("gate", 2))) -> Layout:
    known = {each.name: each for each in jobs}
    tree = tuple(JobNode(name) for name in known)
    trees = {each.name: tree for each in pipelines}
    return Layout(pipelines, known, {PROJECT: Project(PROJECT, trees=trees)})


SMALL = layout(Job("unit"), Job("perf", voting=False), Job("docs"))


def read(text: str, of: Layout = SMALL, **options: object):
    return read_comment(text, of, connection="gerrit", project=PROJECT, **options)


# --- what our own words make ---

NAMES = st.from_regex(r"[a-z][a-z0-9_.-]{0,15}", fullmatch=True).filter(lambda name: name not in {"check", "gate"})
WORDS = st.from_regex(r"[a-z]{1,8}( [a-z]{1,8})?", fullmatch=True).filter(lambda text: " in " not in text)
RESULTS = st.sampled_from(["SUCCESS", "FAILURE", "ABORTED", "NOT_REGISTERED", "SKIPPED", "RETRY_LIMIT", "TIMED_OUT"])
RUN_TIMES = st.one_of(st.none(), st.floats(0, 400_000))


@st.composite
def job_views(draw: st.DrawFn, pattern: str) -> JobView:
    name = draw(NAMES)
    messages_ = draw(st.lists(WORDS, min_size=2, max_size=2, unique=True))
    success, failure = (message if draw(st.booleans()) else None for message in messages_)
    job = Job(name, voting=draw(st.booleans()), success_message=success, failure_message=failure)
    took = draw(RUN_TIMES)
    began, ended = (None, None) if took is None else (1000.0, 1000.0 + took)
    build = BuildView("f" * 32, name, result=draw(RESULTS), started_at=began, ended_at=ended)
    url = pattern.format(name=name) if draw(st.booleans()) else name
    return JobView(job, build, url)


PATTERNS = st.sampled_from(
    ["http://logs.example.org/10/110/1/{name}/b5b201a", "https://ci.example.org/job/{name}/77/", "http://x.org/{name}"]
)


def as_told(view: JobView) -> JobResult:
    assert view.build is not None
    return JobResult(view.job.name, view.build.result or "", view.job.voting, view.report_url or "")


@given(data=st.data(), named=st.booleans(), timed=st.booleans(), footer=st.sampled_from(["", "See - wiki : here"]))
def test_a_report_of_ours_is_read_as_it_was_meant(data, named, timed, footer):
    url = data.draw(PATTERNS)
    views = data.draw(st.lists(job_views(url), min_size=1, max_size=5, unique_by=lambda each: each.job.name))
    check = pipeline("check", 1, footer_message=footer)
    where = layout(*(each.job for each in views), pipelines=(check,))
    options = SchedulerSettings(job_name_in_report=named, report_times=timed)
    failed = data.draw(st.booleans())
    text = (messages.failure_text if failed else messages.success_text)(check, views, options)
    comment = read(f"Patch Set 3: Verified+1\n\n{text}", where)
    assert comment is not None
    assert comment.kind is (Kind.FAILED if failed else Kind.SUCCEEDED)
    assert comment.pipeline == "check"
    assert comment.jobs == tuple(as_told(each) for each in views)


@given(message=st.sampled_from(["Build succeeded ({} pipeline).", "{}: fine", "All is well with {}\n\nReally."]))
def test_a_message_of_a_pipelines_own_tells_which_one_it_is(message):
    pipelines = tuple(pipeline(name, 1, success_message=message.format(name)) for name in ("check", "gate", "post"))
    where = layout(Job("unit"), pipelines=pipelines)
    view = JobView(Job("unit"), BuildView(None, "unit", result="SUCCESS"), "unit")
    for each in pipelines:
        comment = read(messages.success_text(each, [view], SchedulerSettings()), where)
        assert comment is not None
        assert (comment.kind, comment.pipeline) == (Kind.SUCCEEDED, each.name)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (messages.merge_failure_text(SMALL.pipelines[0], ["a.txt", "b.txt"]), Kind.UNMERGED),
        (messages.need_failed_text(SMALL.pipelines[0]), Kind.UNTESTED),
        (messages.technical_failure_text(SMALL.pipelines[0], MergeAnswer("r", MergeOutcome.FETCH)), Kind.UNTESTED),
        (messages.not_submitted_text(SMALL.pipelines[0], "it needs Code-Review"), Kind.UNSUBMITTED),
    ],
)
def test_other_reports_of_ours_are_told_apart(text, kind):
    comment = read(f"Patch Set 1:\n\n{text}")
    assert comment is not None
    assert (comment.kind, comment.jobs) == (kind, ())


def test_a_start_report_names_its_pipeline():
    text = messages.start_text(SMALL.pipelines[1], SchedulerSettings(status_url="http://ci.example.org/"))
    comment = read(f"Patch Set 1: -Verified\n\n{text}")
    assert comment is not None
    assert (comment.kind, comment.pipeline) == (Kind.STARTED, "gate")


@given(st.text())
def test_whatever_stands_in_a_comment_reading_it_never_raises(text):
    read(text)
    read(f"Patch Set 1:\n\nBuild failed.\n\n- {text} : FAILURE")
    read(f"Patch Set 1:\n\nBuild failed.\n\n- https://{text} : FAILURE in 5s")


# --- as Zuul 2 and its sites write ---

ZUUL = """Patch Set 1: Verified-1

(1 comment)

Build failed (check pipeline).  For information on how to proceed, see http://docs.example.org/

- unit https://logs.acme.test/10/110/1/check/unit/b5b201a : SUCCESS in 2m 05s
- docs https://logs.acme.test/10/110/1/check/docs/0a1b2c3 : FAILURE in 1h 02m 03s
- perf https://logs.acme.test/10/110/1/check/perf/9f8e7d6 : known flake in 5s (non-voting)
- ghost ghost : NOT_REGISTERED
"""


def test_a_comment_of_zuul_with_job_names():
    comment = read(ZUUL)
    assert comment is not None
    assert (comment.kind, comment.pipeline) == (Kind.FAILED, "check")
    assert [(each.job, each.result, each.voting) for each in comment.jobs] == [
        ("unit", "SUCCESS", True),
        ("docs", "FAILURE", True),
        ("perf", "known flake", False),
        ("ghost", "NOT_REGISTERED", True),
    ]


def test_without_job_names_links_tell_job_and_pipeline():
    text = "Build succeeded.\n\n- http://logs.acme.test/10/110/1/gate/unit/b5b201a : SUCCESS\n- docs : SKIPPED\n"
    comment = read(text)
    assert comment is not None
    assert comment.pipeline == "gate"
    assert [each.job for each in comment.jobs] == ["unit", "docs"]


def test_a_job_that_the_layout_lacks_is_found_in_a_link_of_jenkins():
    comment = read("Build succeeded.\n\n- https://ci.acme.test/job/folder/job/new-one/12/console : SUCCESS in 5s")
    assert comment is not None
    assert [each.job for each in comment.jobs] == ["new-one"]


def test_votes_and_announcements_tell_pipelines_apart_that_say_the_same():
    text = "Build succeeded.\n\n- https://ci.acme.test/job/unit/12/ : SUCCESS in 5s"
    for vote, name in ((1, "check"), (2, "gate")):
        comment = read(text, votes={"verified": vote})
        assert comment is not None
        assert comment.pipeline == name
    comment = read(text, started={"gate"})
    assert comment is not None
    assert comment.pipeline == "gate"


def test_words_of_a_layout_that_is_not_ours_still_mean_success_if_the_whole_did_succeed():
    comment = read("Build succeeded.\n\n- unit https://x.test/1 : All green here in 5s")
    assert comment is not None
    assert comment.jobs[0].result == "SUCCESS"


def test_a_pipeline_that_the_layout_does_not_have_is_named_as_it_is_called():
    comment = read("Build succeeded (experimental pipeline).\n\n- unit https://x.test/1 : SUCCESS")
    assert comment is not None
    assert comment.pipeline == "experimental"


@pytest.mark.parametrize("text", ["recheck", "", "Patch Set 1: Code-Review+2", "Patch Set 2:\n\nGood - really: yes"])
def test_other_comments_report_nothing(text):
    assert read(text) is None


def test_a_header_names_the_votes_that_came_with_a_comment():
    assert labels_given("Patch Set 1: Verified+1 Code-Review-2 -Workflow\n\nBuild") == (
        "verified",
        "code-review",
        "workflow",
    )
    assert labels_given("Patch Set 1:\n\nVerified+1") == ()
    assert labels_given("Verified+1") == ()
