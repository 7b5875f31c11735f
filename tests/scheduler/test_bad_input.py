"""Whatever the world sends, ``handle`` answers it, or records why nothing came of it: it never raises.

Events about what is not there, answers to what nobody asked, results of builds that nobody launched, commands for what
is missing, timers that nobody set, clocks that jump; fuzzed over all kinds of inputs with odd values in every field.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from gate_world import LAYOUT, GateWorld, layout_of, layout_with, new_world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_world import NoFunctions, change_id_of

from ci_gate.model.build import BuildEnd, BuildUpdate
from ci_gate.model.change import (
    Account,
    ChangeDetails,
    PatchSet,
    RelatedChange,
    SubmitLabel,
    SubmitRecord,
    Vote,
)
from ci_gate.model.commands import Dequeue, Enqueue, EnqueueRef, Promote
from ci_gate.model.event import Event
from ci_gate.model.merge import BaseCommit, MergeAnswer, MergeOutcome
from ci_gate.model.report import Delivery, DeliveryOutcome
from ci_gate.scheduler import effects
from ci_gate.scheduler.effects import AnswerCommand, Effect, RecordRunTime
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import (
    BuildEnded,
    BuildUpdated,
    ChangeAnswered,
    ChangesFound,
    Commanded,
    EventReceived,
    Input,
    LayoutReplaced,
    MergeAnswered,
    QueryFailed,
    ReportAnswered,
    SubmitVerified,
    TimeCame,
    TimerFired,
)

INTERNAL = """  - name: again
    manager: IndependentPipelineManager
    trigger: {zuul: [{event: [parent-change-enqueued, project-change-merged]}]}
    success: {gerrit: {Again: 1}}
jobs:"""
BUSY_LAYOUT = layout_with(("jobs:", INTERNAL), ("gate: [one], nightly", "gate: [one], again: [one], nightly"))
LAYOUTS = (BUSY_LAYOUT, layout_of(), layout_of(LAYOUT.split("projects:", maxsplit=1)[0] + "projects: []\n"))
HUGE = 10**30
ENDLESS = "9" * 5000  # more digits than Python makes a number of


def busy_world() -> GateWorld:
    """Something of every kind is under way: refreshes, merges, builds, reports, a verification, timers."""
    world = new_world(layout=BUSY_LAYOUT)
    for name, project, on in (("A", "demo/one", None), ("B", "demo/one", "A"), ("C", "demo/pair", None)):
        world.create(name, project, on=on)
        world.approved(name)
    world.create("D", "demo/one", needs="C")
    world.uploaded("D")
    world.ref_updated("demo/app", "master", "1", "2")
    world.step(TimeCame(world.at, "0 2 * * *"))
    world.answers_merges = world.answers_reports = world.answers_verification = False
    world.create("E", "demo/plain")
    world.approved("E")
    world.uploaded("E")
    world.merge_outcomes = [MergeOutcome.FETCH]
    world.answers_merges = True
    world.create("F", "demo/lib")
    world.uploaded("F")
    world.ends("one", "A")
    world.answers_queries = False
    world.create("G")
    world.uploaded("G")
    world.comment("A", "recheck")
    return world


# --- inputs of every kind, with values that are known, that were, and that never were ---

WORDS = ("", " ", "0", "1", "2", "01", "-1", "1,1", "x", "٣", "\x00", "a\nb", "{0}", "I" + "a" * 40, ENDLESS)
NAMES = ("gerrit", "demo/one", "demo/app", "master", "check", "gate", "post", "again", "refs/heads/x", "1", "2", "3")
TYPES = (
    "patchset-created",
    "comment-added",
    "change-abandoned",
    "change-restored",
    "change-merged",
    "ref-updated",
    "parent-change-enqueued",
    "project-change-merged",
    "timer",
)
TIMERS = (
    *("merge:", "merge:Z", "report:", "report:x", "report:0", "report:" + ENDLESS, "refresh:", "refresh:gerrit:1"),
    *("merged:", "merged:gerrit:demo/one", "merged:x:y", "overtake:", "overtake:gerrit", "overtake:x", ":", "?"),
)

text = st.sampled_from(WORDS + NAMES) | st.text(max_size=5)
maybe = st.none() | text
count = st.sampled_from([0, 1, 2, -1, HUGE, -HUGE]) | st.integers(0, 40)
moment = st.sampled_from([0.0, -1.0, 1e18, float("inf")]) | st.floats(0, 2_000_000, allow_nan=False)
account = st.none() | st.builds(Account, maybe, maybe, maybe)
vote = st.builds(Vote, text, count, account, st.none() | moment)
a_few = {"max_size": 2}
votes = st.lists(vote, **a_few).map(tuple)
event = st.builds(
    Event,
    type=st.sampled_from(TYPES) | text,
    connection=text,
    project=maybe,
    branch=maybe,
    number=maybe,
    patchset=maybe,
    account=account,
    votes=votes,
    comment=maybe,
    ref=maybe,
    oldrev=maybe,
    newrev=maybe,
    pipeline=maybe,
    created_on=st.none() | count,
    change_id=maybe,
)
patch_set = st.builds(PatchSet, text, text, text, st.lists(text, **a_few).map(tuple))
related = st.lists(st.builds(RelatedChange, text, text, st.booleans()), **a_few).map(tuple)
label = st.builds(SubmitLabel, text, st.sampled_from(["OK", "NEED", "REJECT", "?"]))
record = st.builds(SubmitRecord, st.sampled_from(["OK", "NOT_READY", ""]), st.lists(label, **a_few).map(tuple))
odd = {
    "connection": text,
    "number": text,
    "project": text,
    "branch": text,
    "change_id": maybe,
    "status": st.sampled_from(["NEW", "MERGED", "ABANDONED", ""]),
    "is_open": st.booleans(),
    "commit_message": text | st.sampled_from([f"Depends-On: {change_id_of(name)}" for name in "ABCG"]),
    "patch_sets": st.lists(patch_set, **a_few).map(tuple),
    "votes": votes,
    "depends_on": related,
    "needed_by": related,
    "submit_records": st.lists(record, **a_few).map(tuple),
}
details = st.builds(ChangeDetails, **odd) | st.builds(
    lambda real, changed: replace(real, **changed),
    st.sampled_from(list(busy_world().changes.values())),
    st.fixed_dictionaries({}, optional=odd),
)
delivery = st.builds(Delivery, st.sampled_from(DeliveryOutcome), text)
number = st.none() | count
update = st.builds(BuildUpdate, text, st.booleans(), number, maybe, maybe, estimate_s=st.none() | moment)
end = st.builds(BuildEnd, text, maybe, st.booleans(), text, st.none() | update)
base = st.builds(BaseCommit, text, text, text)
merge_answer = st.builds(
    MergeAnswer, text, st.sampled_from(MergeOutcome), maybe, maybe, st.lists(base, **a_few).map(tuple), detail=text
)
command = st.one_of(
    st.builds(Enqueue, text, text, text, text | st.sampled_from(["1,1", "4,1", f"{ENDLESS},1", f"1,{ENDLESS}", "1,٣"])),
    st.builds(EnqueueRef, text, text, text, text, text, text),
    st.builds(Dequeue, text, text, maybe, maybe),
    st.builds(Promote, text, st.lists(text, **a_few).map(tuple)),
)
KINDS = {
    EventReceived: (moment, event),
    ChangeAnswered: (moment, count, st.none() | details),
    ChangesFound: (moment, count, st.lists(details, **a_few).map(tuple)),
    QueryFailed: (moment, count, text, st.booleans()),
    MergeAnswered: (moment, merge_answer),
    BuildUpdated: (moment, update),
    BuildEnded: (moment, end),
    ReportAnswered: (moment, count, delivery),
    SubmitVerified: (moment, count, st.booleans(), text),
    TimerFired: (moment, st.sampled_from(TIMERS) | text),
    TimeCame: (moment, st.sampled_from(["0 2 * * *", ""]) | text),
    LayoutReplaced: (moment, count, st.sampled_from(LAYOUTS), st.just(NoFunctions())),
    Commanded: (moment, count, command),
}
message = st.one_of(*(st.builds(kind, *fields) for kind, fields in KINDS.items()))


def aimed(given_message: Input, known: list[Effect], which: int) -> Input:
    """The same input about something that is, or was, really asked for."""
    fitting = [name for each in known if (name := _name_in(each, given_message)) is not None]
    if not fitting:
        return given_message
    name = fitting[which % len(fitting)]
    match given_message:
        case ChangeAnswered() | ChangesFound() | QueryFailed():
            return replace(given_message, ticket=name)
        case MergeAnswered():
            return replace(given_message, answer=replace(given_message.answer, ref=name))
        case BuildUpdated():
            return replace(given_message, update=replace(given_message.update, uuid=name))
        case BuildEnded():
            return replace(given_message, end=replace(given_message.end, uuid=name))
        case ReportAnswered():
            return replace(given_message, report=name)
        case SubmitVerified():
            return replace(given_message, item=name)
        case TimerFired():
            return replace(given_message, timer=name)
    return given_message


def _name_in(effect: Effect, wanted: Input) -> str | int | None:
    match effect, wanted:
        case effects.QueryChange() | effects.SearchChanges(), ChangeAnswered() | ChangesFound() | QueryFailed():
            return effect.ticket
        case effects.Merge(), MergeAnswered():
            return effect.request.ref
        case effects.UpdateRepository(), MergeAnswered():
            return effect.request.name
        case effects.LaunchBuild(), BuildUpdated() | BuildEnded():
            return effect.request.uuid
        case effects.SendReport(), ReportAnswered():
            return effect.report_id
        case effects.VerifySubmit(), SubmitVerified():
            return effect.item
        case effects.SetTimer(), TimerFired():
            return effect.timer
    return None


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=st.lists(st.tuples(message, st.booleans(), st.integers(0, 1000)), min_size=1, max_size=25))
def test_no_input_whatever_is_in_it_makes_the_scheduler_raise(history):
    world = busy_world()
    known = [*world.pending, *world.all_effects[-12:]]
    for given_message, at_what_is_known, which in history:
        chosen = aimed(given_message, known, which) if at_what_is_known else given_message
        known += world.scheduler.handle(chosen)
        assert all(each.text for each in world.scheduler.last_decisions)
        world.scheduler.view()
        world.scheduler.undelivered_reports()


def test_every_kind_of_input_is_fuzzed():
    assert set(KINDS) == set(Input.__args__)


# --- what is made of it ---


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (lambda at: ChangeAnswered(at, 10**9, None), "a query of a change"),
        (lambda at: ChangesFound(at, 10**9, ()), "a query of a change"),
        (lambda at: QueryFailed(at, -1, "late"), "a query of a change"),
        (lambda at: MergeAnswered(at, MergeAnswer("Z", MergeOutcome.MERGED)), "a merge"),
        (lambda at: BuildEnded(at, BuildEnd("f" * 32, "SUCCESS")), "a build"),
        (lambda at: ReportAnswered(at, 0, Delivery(DeliveryOutcome.DELIVERED)), "a report"),
        (lambda at: SubmitVerified(at, 10**9, True), "the verification of a submit"),
        (lambda at: TimerFired(at, "nobody set it"), "a timer"),
        (lambda at: TimerFired(at, "report:x"), "a timer"),
    ],
)
def test_what_nobody_asked_for_is_recorded_and_counted_and_changes_nothing(answer, what):
    world = busy_world()
    before = world.queues_text()
    counted = world.scheduler.decisions.counts[Code.UNKNOWN_ANSWER]
    assert world.scheduler.handle(answer(world.at)) == []
    (decision,) = world.scheduler.last_decisions
    assert decision.text == f"an answer came for something that is no longer asked: {what}"
    assert world.scheduler.decisions.counts[Code.UNKNOWN_ANSWER] == counted + 1
    assert world.queues_text() == before


def test_what_has_been_answered_is_answered_once():
    world = new_world(answers_merges=False, answers_reports=False)
    world.create("A")
    world.uploaded("A")
    (merge,) = world.outstanding(effects.Merge)
    answer = world.merge_answer(merge)
    assert world.step(answer) == ["launch one for [A] on z1"]
    assert world.step(answer) == []
    assert world.ends("one", "A") == ["report A: success (Verified=+1): one SUCCESS"]
    assert world.ends("one", "A", "FAILURE") == []
    (report,) = world.outstanding(effects.SendReport)
    world.delivers(report)
    world.step(ReportAnswered(world.at, report.report_id, Delivery(DeliveryOutcome.REFUSED)))
    assert world.scheduler.decisions.counts[Code.UNKNOWN_ANSWER] == 3
    assert world.queues_text() == ""


def test_a_change_that_vanishes_between_event_and_query_is_said_to_be_missing():
    world = new_world(answers_queries=False)
    world.create("A")
    world.uploaded("A")
    del world.changes["1"]
    world.answers_queries = True
    for query in world.outstanding(effects.QueryChange):
        world.step(ChangeAnswered(world.at, query.ticket, None))
    world.fire_timers(world.at + 60)
    assert [each.text for each in world.decisions] == ["Gerrit does not show this change or patch set to us"]
    assert world.scheduler.view().trigger_queue_length == 0


def test_an_answer_about_another_change_is_none_about_the_one_that_was_asked_for():
    world = new_world(answers_queries=False, event_delays={"gerrit": 0.0})
    world.create("A")
    world.create("B")
    world.uploaded("A")
    (query,) = world.outstanding(effects.QueryChange)
    assert world.step(ChangeAnswered(world.at, query.ticket, world.details("B"))) == []
    assert [each.code for each in world.decisions] == [Code.UNKNOWN_ANSWER, Code.NO_SUCH_CHANGE]
    assert "change 2 in place of 1" in world.decisions[0].text


def test_changes_of_another_gerrit_do_not_answer_a_search():
    world = new_world()
    world.create("A")
    world.create("B", needs="A")
    world.change("A", connection="elsewhere")
    assert world.uploaded("B") == ["merge B→z1", "launch one for [B] on z1"]


def test_an_event_on_an_unknown_project_is_recorded_and_nothing_is_asked():
    world = new_world()
    assert world.tell(Event("patchset-created", "gerrit", "no/such", number="1", patchset="1")) == []
    assert world.tell(Event("ref-updated", "gerrit", None, ref="master", newrev="1" * 40)) == []
    assert world.all_effects == []
    assert world.codes() == [Code.UNKNOWN_PROJECT] * 2


@pytest.mark.parametrize(
    ("wanted", "line"),
    [
        (Dequeue("gate", "demo/one", change="9,1"), "9,1 of demo/one is not in gate"),
        (Dequeue("gate", "demo/one"), " of demo/one is not in gate"),
        (Dequeue("x", "demo/one", change="1,1"), "Invalid pipeline: x"),
        (Promote("x", ("1,1",)), "Invalid pipeline: x"),
        (Promote("gate", ("9,1",)), "9,1 is not in gate"),
        (Promote("gate", ()), "no changes are named"),
        (Enqueue("gerrit", "gate", "demo/one", f"{ENDLESS},1"), f"Invalid change: {ENDLESS},1"),
        (Enqueue("gerrit", "gate", "demo/one", "1,٣"), "Invalid change: 1,٣"),
        (Enqueue("gerrit", "gate", "demo/one", ""), "Invalid change: "),
        (EnqueueRef("gerrit", "x", "demo/one", "master", "1", "2"), "Invalid pipeline: x"),
    ],
)
def test_a_command_about_what_is_missing_is_answered_with_the_reason(wanted, line):
    world = busy_world()
    before = world.queues_text()
    (answer,) = world.scheduler.handle(Commanded(world.at, 5, wanted))
    assert isinstance(answer, AnswerCommand)
    assert (answer.ticket, answer.answer.done, answer.answer.lines) == (5, False, (line,))
    assert world.queues_text() == before


def test_a_clock_that_jumps_back_gives_no_run_time_below_zero():
    world = new_world()
    world.create("A")
    world.uploaded("A")
    world.begins("one", "A")
    world.at -= 3600
    assert world.ends("one", "A") == ["report A: success (Verified=+1): one SUCCESS"]
    assert [each.seconds for each in world.all_effects if isinstance(each, RecordRunTime)] == [0.0]


def test_an_end_that_was_found_late_counts_from_when_it_was():
    world = new_world()
    world.create("A")
    world.uploaded("A")
    world.begins("one", "A")
    began_at = world.at
    world.at += 3600
    last = BuildUpdate(world.requests["one", "A"], started=True, number=1)
    world.ends("one", "A", last=last, ended_at=began_at + 20)
    assert [each.seconds for each in world.all_effects if isinstance(each, RecordRunTime)] == [20.0]


@pytest.mark.parametrize(("started", "ended", "seconds"), [(-500, -480, 20.0), (-500, +900, 500.0), (+800, +900, 0.0)])
def test_a_clock_of_a_jenkins_that_is_ahead_gives_no_times_to_come(started, ended, seconds):
    world = new_world()
    world.create("A")
    world.uploaded("A")
    world.at += 600
    last = BuildUpdate(world.requests["one", "A"], started=True, number=1, started_at=world.at + started)
    world.ends("one", "A", last=last, ended_at=world.at + ended)
    assert [each.seconds for each in world.all_effects if isinstance(each, RecordRunTime)] == [seconds]


def test_a_clock_that_jumps_ahead_loses_nothing():
    world = new_world(answers_queries=False)
    world.create("A")
    world.uploaded("A")
    (query,) = world.outstanding(effects.QueryChange)
    world.pending.remove(query)
    world.at += 10**8
    world.answers_queries = True
    assert world.step(ChangeAnswered(world.at, query.ticket, world.details("A"))) == [
        "merge A→z1",
        "launch one for [A] on z1",
    ]
