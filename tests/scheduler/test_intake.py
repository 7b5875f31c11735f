"""From the event to the pipelines: fresh records, order, failures (scheduler.md 3, gerrit-wire.md 3.3 and 3.7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scripted_world import JOE, World, check_pipeline, gerrit_filter, layout, project, vote, votes

from ci_gate.model.change import Account, ChangeDetails, ChangeKey, decimal_text
from ci_gate.model.event import Event
from ci_gate.model.layout import Pipeline, Requirements, VoteRequirement
from ci_gate.scheduler.effects import QueryChange, SetTimer
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.inputs import ChangeAnswered, EventReceived, QueryFailed, TimerFired

START = 1_000_000.0
LAUNCHED = ["merge A→z1", "launch one for [A] on z1"]


def waiting_world(**given: object) -> World:
    """Gerrit answers only when the test says so."""
    return World(answers_queries=False, **given)


def the_query(world: World) -> QueryChange:
    (found,) = world.outstanding(QueryChange)
    return found


def query_of(world: World, name: str) -> QueryChange:
    number = world.details(name).number
    (found,) = [each for each in world.outstanding(QueryChange) if each.number == number]
    return found


def times_of_queries(world: World, until: float) -> list[float]:
    """Let the time pass and answer every query at once, from what Gerrit knows; when was it asked?"""
    asked = []
    while world.at < START + until:
        for query in world.outstanding(QueryChange):
            asked.append(round(world.at - START, 3))
            world.answer_query(query)
        coming = [each.at for each in world.outstanding(SetTimer)]
        world.fire_timers(min([*coming, START + until]))
    return asked


# --- fresh records ---


def test_an_event_whose_change_is_up_to_date_goes_on_in_the_step_of_the_answer():
    world = waiting_world()
    assert world.upload("A") == []
    assert world.answer_query(the_query(world)) == LAUNCHED


def test_a_patch_set_that_the_answer_does_not_show_is_asked_for_again_until_it_does():
    world = waiting_world()
    world.create("A")
    world.tell(world.event("patchset-created", "A", patchset="2"))
    assert world.answer_query(the_query(world)) == []
    details = world.details("A")
    second = replace(details.patch_sets[0], number="2", ref="refs/changes/01/1/2")
    world.change("A", patch_sets=(*details.patch_sets, second))
    world.fire_timers(START + 0.1)
    assert world.answer_query(the_query(world)) == ["merge A2→z1", "launch one for [A2] on z1"]


def test_a_stale_answer_is_asked_for_again_at_once_and_then_with_back_off_for_event_delay_at_most():
    world = waiting_world()
    world.create("A")
    world.tell(world.event("patchset-created", "A", patchset="2"))
    assert times_of_queries(world, 60) == [0.0, 0.1, 0.3, 0.7, 1.5, 3.1, 5.1, 7.1, 9.1, 10.0]
    assert world.codes() == [Code.NO_SUCH_CHANGE]


def test_event_delay_is_the_connections_own():
    world = waiting_world(event_delays={"gerrit": 1.0})
    world.create("A")
    world.tell(world.event("patchset-created", "A", patchset="2"))
    assert times_of_queries(world, 60) == [0.0, 0.1, 0.3, 0.7, 1.0]


def test_without_event_delay_the_first_answer_counts():
    world = waiting_world(event_delays={"gerrit": 0.0})
    world.create("A", votes=())
    world.comment("A", "recheck", votes=(vote("Verified", 1),))
    assert world.answer_query(the_query(world)) == LAUNCHED


def test_a_change_that_gerrit_does_not_show_is_given_up_after_event_delay_and_told():
    world = waiting_world()
    world.create("A")
    world.tell(world.event("patchset-created", "A"))
    world.changes.clear()
    assert times_of_queries(world, 60)[-1] == 10.0
    assert [each.text for each in world.decisions] == ["Gerrit does not show this change or patch set to us"]
    assert world.scheduler.view().trigger_queue_length == 0


def is_fresh(event: Event, details: ChangeDetails) -> bool:
    """Is this event dispatched with the first answer?"""
    world = waiting_world()
    world.changes[details.number] = details
    world.tell(event)
    world.answer_query(the_query(world))
    return world.scheduler.view().trigger_queue_length == 0


def details_with(*standing: object, **known: object) -> ChangeDetails:
    world = World()
    world.create("A", votes=standing, **known)
    return world.details("A")


def comment_with(*given: object, **known: object) -> Event:
    event = Event("comment-added", "gerrit", "demo/one", "master", "1", "1", account=JOE, votes=given)
    return replace(event, created_on=1000, **known)


@pytest.mark.parametrize(
    ("standing", "fresh"),
    [
        ([vote("Workflow", 1, JOE)], True),
        ([vote("workflow", 1, Account(username="joe"))], True),
        ([], False),
        ([vote("Workflow", -1, JOE)], False),
        ([vote("Workflow", 1, Account("Ann", "ann@example.org", "ann"))], False),
        ([vote("Verified", 1, JOE)], False),
        ([vote("Workflow", 1)], False),
    ],
    ids=["there", "spelled otherwise", "none yet", "former value", "somebody else's", "other label", "nobody's"],
)
def test_a_vote_of_the_event_must_stand_on_the_change(standing, fresh):
    assert is_fresh(comment_with(vote("Workflow", 1)), details_with(*standing)) is fresh


def test_every_vote_of_the_event_must_stand_on_the_change():
    event = comment_with(vote("Workflow", 1), vote("Verified", 1))
    assert not is_fresh(event, details_with(vote("Workflow", 1, JOE)))
    assert is_fresh(event, details_with(vote("Workflow", 1, JOE), vote("Verified", 1, JOE)))


def test_a_vote_that_was_changed_again_since_makes_the_answer_no_older_than_the_event():
    event = comment_with(vote("Workflow", 1))
    assert is_fresh(event, details_with(vote("Workflow", -1, JOE, granted_on=1001)))
    assert not is_fresh(event, details_with(vote("Workflow", -1, JOE, granted_on=999)))


def test_a_vote_of_zero_is_there_when_no_vote_is():
    event = comment_with(vote("Workflow", 0))
    assert is_fresh(event, details_with())
    assert not is_fresh(event, details_with(vote("Workflow", 1, JOE)))


def test_votes_on_an_older_patch_set_cannot_be_looked_for():
    world = World()
    world.create("A")
    details = world.details("A")
    newer = replace(details.patch_sets[0], number="2", ref="refs/changes/01/1/2")
    details = replace(details, patch_sets=(*details.patch_sets, newer))
    assert is_fresh(comment_with(vote("Workflow", 1)), details)


def test_people_without_user_names_are_known_by_their_addresses():
    ann = Account("Ann", "ann@example.org")
    event = replace(comment_with(vote("Workflow", 1)), account=ann)
    assert is_fresh(event, details_with(vote("Workflow", 1, ann)))
    assert not is_fresh(event, details_with(vote("Workflow", 1, Account("Ann", "other@example.org"))))


@pytest.mark.parametrize(
    ("type_", "known", "fresh"),
    [
        ("change-abandoned", {"status": "ABANDONED", "is_open": False}, True),
        ("change-abandoned", {}, False),
        ("change-restored", {}, True),
        ("change-restored", {"status": "ABANDONED", "is_open": False}, False),
        ("change-merged", {"status": "MERGED", "is_open": False}, True),
        ("change-merged", {}, False),
        ("topic-changed", {}, True),
    ],
)
def test_the_answer_must_show_the_state_that_the_event_told(type_, known, fresh):
    event = Event(type_, "gerrit", "demo/one", "master", "1", "1", account=JOE)
    assert is_fresh(event, details_with(**known)) is fresh


def test_filters_and_requirements_see_the_fresh_record_and_not_the_stale_one():
    approved = VoteRequirement(labels=(("workflow", frozenset({1})),))
    gate = check_pipeline(
        triggers=(gerrit_filter("comment-added", votes=(("workflow", 1),)),),
        require=Requirements(approval=(approved,)),
    )
    world = waiting_world(layout=layout(gate))
    world.create("A")
    world.comment("A", "good", votes=(vote("Workflow", 1),))
    assert world.answer_query(the_query(world)) == []
    world.change("A", votes=(vote("Workflow", 1, JOE, START),))
    world.fire_timers(START + 0.1)
    assert world.answer_query(the_query(world)) == LAUNCHED


def test_an_event_without_a_patch_set_is_about_the_current_one():
    world = World()
    world.create("A")
    world.new_patch_set("A")
    event = world.event("comment-added", "A", patchset=None, comment="Patch Set 2:\n\nrecheck")
    world.abandon("A")
    world.change("A", status="NEW", is_open=True)
    assert world.tell(event) == ["merge A2→z2", "launch one for [A2] on z2"]


# --- numbers ---


@pytest.mark.parametrize("number", ["7", 7, "007"])
def test_numbers_are_decimal_text_whatever_type_they_came_in(number):
    assert decimal_text(number) == "7"


def test_patch_sets_are_ordered_as_numbers():
    assert ChangeKey("gerrit", "1", "10").updates(ChangeKey("gerrit", "1", "9"))
    assert not ChangeKey("gerrit", "1", "9").updates(ChangeKey("gerrit", "1", "10"))
    assert not ChangeKey("gerrit", "1", "10").updates(ChangeKey("other", "1", "9"))


def test_patch_set_10_replaces_patch_set_9():
    world = World()
    world.create("A")
    for _ in range(8):
        world.new_patch_set("A")
    assert world.queues() == {"check": ["A9"]}
    assert world.new_patch_set("A")[0] == "cancel one of A9"


# --- coalescing ---


def test_a_burst_on_one_change_costs_one_query_and_at_most_one_more():
    world = waiting_world()
    world.create("A")
    for _ in range(100):
        world.comment("A", "nice")
    assert len(world.outstanding(QueryChange)) == 1
    world.answer_query(the_query(world))
    world.answer_query(the_query(world))
    assert world.outstanding(QueryChange) == []
    assert world.codes() == [Code.COMMENT] * 100


def test_an_answer_counts_only_for_events_that_had_arrived_when_it_was_asked_for():
    world = waiting_world()
    world.upload("A")
    first = the_query(world)
    world.comment("A", "recheck")
    assert world.answer_query(first) == LAUNCHED
    assert world.scheduler.view().trigger_queue_length == 1
    world.answer_query(the_query(world))
    assert world.codes()[-1] is Code.ALREADY_IN


def test_events_on_unknown_projects_cost_no_query():
    world = World()
    world.create("A", "demo/foreign")
    world.comment("A", "recheck")
    assert world.all_effects == []
    assert [each.text for each in world.decisions] == ["project demo/foreign is not in the layout"]


def test_ref_updates_cost_no_query():
    world = World()
    world.tell(Event("ref-updated", "gerrit", "demo/one", ref="master", oldrev="a" * 40, newrev="b" * 40))
    assert world.all_effects == []


# --- failed queries ---


def test_a_failed_query_is_tried_again_with_back_off_for_as_long_as_it_takes_and_no_event_is_lost():
    world = waiting_world()
    world.upload("A")
    world.create("B", "demo/lib")
    world.tell(world.event("patchset-created", "B"))
    query = query_of(world, "A")
    gaps = []
    for _ in range(1500):  # more than a day
        world.query_fails(query)
        before = world.at
        world.fire_timers(min(each.at for each in world.outstanding(SetTimer) if "refresh:" in each.timer))
        gaps.append(world.at - before)
        query = query_of(world, "A")
    assert gaps[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert set(gaps[8:]) == {60}
    assert world.answer_query(query) == LAUNCHED
    assert world.answer_query(query_of(world, "B")) == ["merge B→z2", "launch lib-unit for [B] on z2"]


def test_events_that_arrive_while_gerrit_does_not_answer_wait_for_the_same_retry():
    world = waiting_world()
    world.upload("A")
    world.query_fails(the_query(world))
    world.comment("A", "recheck")
    assert world.outstanding(QueryChange) == []
    world.fire_timers(START + 1)
    assert world.answer_query(the_query(world)) == LAUNCHED
    assert world.outstanding(QueryChange) == []
    assert Code.ALREADY_IN in world.codes()


def test_after_an_answer_failures_are_counted_anew():
    world = waiting_world()
    world.create("A")
    world.tell(world.event("patchset-created", "A", patchset="2"))
    for _ in range(2):
        world.query_fails(the_query(world))
        world.fire_timers(world.at + 2)
    world.answer_query(the_query(world))
    world.fire_timers(world.at + 0.1)
    before = world.at
    world.query_fails(the_query(world))
    world.fire_timers(before + 1.0)
    assert the_query(world)


def test_a_query_that_gerrit_refuses_for_good_ends_its_events_and_says_why():
    world = waiting_world()
    world.upload("A")
    refused = the_query(world)
    world.comment("A", "recheck")
    assert world.query_fails(refused, transient=False) == []
    assert [each.text for each in world.decisions] == ["Gerrit refused the query: no answer"]
    assert world.answer_query(the_query(world)) == LAUNCHED


def test_answers_to_what_was_never_asked_are_recorded_and_change_nothing():
    world = World()
    assert world.step(ChangeAnswered(world.at, 77, None)) == []
    assert world.step(QueryFailed(world.at, 77, "late")) == []
    assert world.codes() == [Code.UNKNOWN_ANSWER] * 2


# --- order ---


def two_changes(**given: object) -> World:
    """A and B, of one connection, in this order; both are asked for."""
    world = waiting_world(**given)
    world.upload("A")
    world.upload("B")
    return world


def test_events_of_a_connection_are_dispatched_in_order_of_arrival():
    world = two_changes()
    assert world.answer_query(query_of(world, "B")) == []
    assert world.answer_query(query_of(world, "A")) == [
        "merge A→z1",
        "merge B→z2",
        "launch one for [A] on z1",
        "launch one for [B] on z2",
    ]


def test_an_event_that_takes_over_five_seconds_is_overtaken():
    world = two_changes()
    world.answer_query(query_of(world, "B"))
    assert world.fire_timers(START + 4.999) == []
    assert world.fire_timers(START + 5) == ["merge B→z1", "launch one for [B] on z1"]
    assert world.answer_query(query_of(world, "A")) == ["merge A→z2", "launch one for [A] on z2"]


def test_events_of_the_same_change_never_overtake_each_other():
    world = waiting_world()
    world.create("A")
    world.tell(world.event("patchset-created", "A", patchset="2"))
    world.answer_query(the_query(world))
    world.comment("A", "recheck")
    world.upload("B")
    world.answer_query(query_of(world, "B"))
    world.fire_timers(START + 0.1)
    world.answer_query(query_of(world, "A"))
    assert world.scheduler.view().trigger_queue_length == 3
    assert world.fire_timers(START + 5) == ["merge B→z1", "launch one for [B] on z1"]
    assert world.scheduler.view().trigger_queue_length == 2
    world.answer_query(query_of(world, "A"))
    world.fire_timers(START + 10)
    assert world.answer_query(query_of(world, "A")) == ["merge A→z2", "launch one for [A] on z2"]
    assert [each.code for each in world.decisions if each.subject in ("1,1", "1,2")][:2] == [
        Code.NO_SUCH_CHANGE,
        Code.ACCEPTED,
    ]


def test_only_events_behind_late_ones_overtake_and_one_that_is_not_late_holds_up_the_rest():
    world = waiting_world()
    world.upload("A")
    world.at = START + 3
    world.upload("B")
    world.upload("C")
    world.answer_query(query_of(world, "C"))
    assert world.fire_timers(START + 7.9) == []
    assert world.fire_timers(START + 8) == ["merge C→z1", "launch one for [C] on z1"]


def test_a_ref_update_waits_for_the_events_before_it_and_may_overtake_late_ones():
    post = Pipeline("post", triggers=(gerrit_filter("ref-updated"),))
    world = waiting_world(layout=layout(check_pipeline(), post, projects=(project("demo/app", post=["publish"]),)))
    world.upload("A")
    update = Event("ref-updated", "gerrit", "demo/app", ref="master", oldrev="a" * 40, newrev="b" * 40)
    assert world.tell(update) == []
    assert world.fire_timers(START + 5) == ["update repository demo/app", "launch publish for ref master"]


def test_a_timer_that_fires_a_little_early_does_not_keep_events_from_overtaking():
    world = two_changes()
    world.answer_query(query_of(world, "B"))
    (timer,) = world.outstanding(SetTimer)
    world.pending.remove(timer)
    world.at = timer.at - 0.002
    assert world.step(TimerFired(world.at, timer.timer)) == []
    assert world.fire_timers(START + 5) == ["merge B→z1", "launch one for [B] on z1"]


def test_a_thousand_waiting_events_set_one_overtaking_timer():
    world = waiting_world()
    world.create("A")
    for _ in range(1000):
        world.comment("A", "nice")
    assert len(world.outstanding(SetTimer)) == 1


def test_connections_never_wait_for_each_other():
    other = replace(
        check_pipeline(),
        name="other",
        source="other",
        triggers=(replace(gerrit_filter("patchset-created"), trigger="other"),),
    )
    world = waiting_world(
        layout=layout(check_pipeline(), other, projects=(project("demo/one", check=["one"], other=["one"]),))
    )
    world.upload("A")
    details = replace(world.details("A"), connection="other")
    world.step(EventReceived(world.at, replace(world.event("patchset-created", "A"), connection="other")))
    (query,) = [each for each in world.outstanding(QueryChange) if each.connection == "other"]
    assert world.step(ChangeAnswered(world.at, query.ticket, details)) == LAUNCHED
    assert world.queues() == {"other": ["A"]}


def test_an_event_that_was_held_up_is_dispatched_with_the_newest_record():
    approved = VoteRequirement(labels=(("workflow", frozenset({1})),))
    world = two_changes(layout=layout(check_pipeline(require=Requirements(approval=(approved,)))))
    world.answer_query(query_of(world, "B"))
    world.change("B", votes=(vote("Workflow", 1, JOE),))
    world.comment("B", "good", votes=(vote("Workflow", 1),))
    world.answer_query(query_of(world, "B"))
    assert world.answer_query(query_of(world, "A")) == ["merge B→z1", "launch one for [B] on z1"]


# --- dispatch ---


def test_several_pipelines_may_accept_one_event():
    second = check_pipeline(name="second", success=votes(Second=1))
    both = project("demo/one", check=["one"], second=["one"])
    world = World(layout(check_pipeline(), second, projects=(both,)))
    world.upload("A")
    assert world.queues() == {"check": ["A"], "second": ["A"]}


def test_a_refreshed_record_is_seen_by_every_item_that_refers_to_it():
    second = check_pipeline(name="second")
    both = project("demo/one", check=["one"], second=["one"])
    world = World(layout(check_pipeline(), second, projects=(both,)))
    world.upload("A")
    world.change("A", url="https://review/1", votes=(vote("Verified", 1, JOE),))
    world.comment("A", "nice")
    views = [queue.heads[0][0] for pipeline in world.scheduler.view().pipelines for queue in pipeline.queues]
    assert [each.subject.url for each in views] == ["https://review/1"] * 2


def test_a_new_patch_set_drops_the_old_one_even_from_pipelines_whose_triggers_do_not_mention_it():
    manual = check_pipeline(name="manual", triggers=(gerrit_filter("comment-added"),))
    world = World(layout(manual, projects=(project("demo/one", manual=["one"]),)))
    world.create("A")
    world.comment("A", "go")
    assert world.new_patch_set("A") == ["cancel one of A"]
    assert world.queues() == {}


def deleted(world: World, name: str) -> list[str]:
    """Gerrit has it no more, and says so; that event names no patch set."""
    event = world.event("change-deleted", name, patchset=None)
    del world.changes[event.number]
    return world.tell(event)


def test_a_deleted_change_is_dropped_at_once_with_all_its_patch_sets():
    world = World(layout(check_pipeline(dequeue_on_new_patchset=False)))
    world.upload("A")
    world.new_patch_set("A")
    assert deleted(world, "A") == ["cancel one of A", "cancel one of A2"]
    assert world.queues() == {}
    assert [each.code for each in world.decisions if each.code is Code.DELETED] == [Code.DELETED] * 2


def test_nothing_waits_for_a_deletion_that_a_late_answer_does_not_show_yet():
    world = waiting_world()
    world.create("A")
    world.tell(world.event("patchset-created", "A"))
    world.answer_query(the_query(world))
    world.tell(world.event("change-deleted", "A", patchset=None))
    assert world.answer_query(the_query(world)) == []
    world.fire_timers(START + 0.1)
    del world.changes["1"]
    assert world.answer_query(the_query(world)) == ["cancel one of A"]


def test_an_abandoned_change_is_dropped_with_the_patch_set_of_the_event_only():
    world = World(layout(check_pipeline(dequeue_on_new_patchset=False)))
    world.upload("A")
    world.new_patch_set("A")
    assert world.abandon("A") == ["cancel one of A2"]
    assert world.queues() == {"check": ["A"]}
