"""What a commit message says that it needs: Change-Ids by the strict rule, addresses where operators want them."""

from __future__ import annotations

import pytest
from gate_world import GateWorld, new_world, play
from scripted_world import change_id_of

from ci_gate.model.options import SchedulerSettings
from ci_gate.model.report import DeliveryOutcome
from ci_gate.scheduler.effects import SearchChanges, SendReport
from ci_gate.scheduler.footers import depends_on, host_of

ID, OTHER = "I" + "a1" * 20, "I" + "B2" * 20
HOST = "review.example.org"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"Depends-On: {ID}", (ID,)),
        (f"depends-on: {OTHER}  \t", (OTHER,)),
        (f" Depends-On: {ID}", ()),
        (f"Depends-On:{ID}", ()),
        (f"Depends-On:  {ID}", ()),
        (f"Depends-On: {ID} please", ()),
        (f"Depends-On: {ID[:-1]}", ()),
        (f"Depends-On: {ID}\nDepends-On: {OTHER}\nDepends-On: {ID}", (ID, OTHER)),
        (f"Depends-On: https://{HOST}/c/demo/app/+/12", ()),
    ],
)
def test_change_ids_by_the_strict_rule(line, found):
    assert depends_on(f"Subject\n\n{line}\n\nmore\n") == found


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (f"https://{HOST}/c/demo/app/+/12", ("12",)),
        (f"https://{HOST}/c/demo/app/+/12/3", ("12",)),
        (f"http://{HOST}/gerrit/c/demo/app/+/012", ("12",)),
        (f"https://{HOST.upper()}/#/c/12/", ("12",)),
        (f"https://{HOST}/#/c/12/3", ("12",)),
        (f"https://{HOST}/12", ("12",)),
        (f"https://{HOST}/12/3", ("12",)),
        ("https://elsewhere.example.org/12", ()),
        (f"https://{HOST}.evil.example/12", ()),
        (f"https://{HOST}/c/demo/app/+/12 please", ()),
        (f"https://{HOST}/q/topic:12", ()),
        (f"https://{HOST}/", ()),
        (f"ssh://{HOST}/12", ()),
    ],
)
def test_addresses_of_changes_of_the_same_gerrit(address, found):
    assert depends_on(f"Subject\n\nDepends-On: {address}\n", HOST) == found


def test_ids_and_addresses_keep_their_order():
    message = f"Depends-On: https://{HOST}/12\nDepends-On: {ID}\nDepends-On: https://{HOST}/11\n"
    assert depends_on(message, HOST) == ("12", ID, "11")


def test_the_host_of_a_changes_own_address():
    assert host_of("https://Review.example.org:8443/c/demo/+/1") == "review.example.org:8443"
    assert host_of(None) is None
    assert host_of("12") is None


# --- addresses in the scheduler ---


def world_with_addresses(*, wanted: bool = True) -> GateWorld:
    options = SchedulerSettings(url_pattern="{job.name}", report_times=False, depends_on_urls=wanted)
    return new_world(options=options)


def name_address(world: GateWorld, name: str, needed: str) -> None:
    for each in (name, needed):
        number = world.details(each).number
        world.change(each, url=f"https://{HOST}/c/{world.details(each).project}/+/{number}")
    message = f"Change\n\nDepends-On: {world.details(needed).url}\n\nChange-Id: {change_id_of(name)}\n"
    world.change(name, commit_message=message)


def test_a_change_needs_what_its_message_names_by_address():
    world = world_with_addresses()
    world.create("A", "demo/lib")
    world.create("B", "demo/one")
    name_address(world, "B", "A")
    play(
        world,
        (
            lambda: world.uploaded("B"),
            "merge A→z1; merge A→z1 B→z2; launch one for [A B] on z2",
            "check: A (dead), B (on A)",
        ),
    )


def test_addresses_are_ordinary_lines_unless_operators_want_them():
    world = world_with_addresses(wanted=False)
    world.create("A", "demo/lib")
    world.create("B", "demo/one")
    name_address(world, "B", "A")
    play(world, (lambda: world.uploaded("B"), "merge B→z1; launch one for [B] on z1", "check: B"))
    assert not [each for each in world.all_effects if isinstance(each, SearchChanges) and "/+/" in each.search.value]


def test_who_names_a_change_by_address_is_pulled_in_behind_it():
    world = world_with_addresses()
    world.create("A", "demo/one")
    world.create("B", "demo/pair")
    name_address(world, "B", "A")
    play(
        world,
        (
            lambda: world.approved("A"),
            (
                "report A: start (Verified=+0); report B: start (Verified=+0); merge A→z1; merge A→z1 B→z2; "
                "launch one for [A] on z1; launch one for [A B] on z2; launch two for [A B] on z2"
            ),
            "gate: A, B (on A)",
        ),
    )


def test_a_new_patch_set_of_what_is_named_by_address_reaches_who_named_it():
    world = world_with_addresses()
    world.create("A", "demo/lib")
    world.create("B", "demo/one")
    name_address(world, "B", "A")
    world.uploaded("B")
    world.new_patch_set("A")
    assert [each.report.message[:40] for each in world.all_effects if isinstance(each, SendReport)] == [
        "This change was not tested to the end: a"
    ]


def test_closed_changes_that_are_named_by_address_are_not_needed():
    world = world_with_addresses()
    world.create("A", "demo/lib")
    world.create("B", "demo/one")
    name_address(world, "B", "A")
    world.change("A", status="ABANDONED", is_open=False)
    play(world, (lambda: world.uploaded("B"), "merge B→z1; launch one for [B] on z1", "check: B"))


def test_a_circle_of_addresses_is_one():
    world = world_with_addresses()
    world.create("A")
    world.create("B")
    name_address(world, "B", "A")
    name_address(world, "A", "B")
    play(world, (lambda: world.uploaded("A"), "", ""))


# --- circles are told where operators want that ---


def in_a_circle(*, told: bool) -> GateWorld:
    options = SchedulerSettings(url_pattern="{job.name}", report_times=False, report_cycles=told)
    world = new_world(options=options)
    world.create("A", needs="B")
    world.create("B", needs="A")
    return world


def messages_to(world: GateWorld, name: str) -> list[SendReport]:
    reports = [each for each in world.all_effects if isinstance(each, SendReport)]
    return [each for each in reports if each.report.number == world.details(name).number]


def test_nobody_is_told_of_a_circle_by_default():
    world = in_a_circle(told=False)
    world.uploaded("A")
    assert not messages_to(world, "A")


def test_a_change_is_told_of_its_circle_once_a_patch_set_without_a_vote():
    world = in_a_circle(told=True)
    world._tell_report = lambda effect: "told"
    world.uploaded("A")
    world.comment("A", "recheck")
    (said,) = messages_to(world, "A")
    assert said.report.message.startswith(
        "These changes need each other in a circle, so none of them can be tested: 1, 2"
    )
    assert (said.report.labels, said.report.flags) == ((), ())
    world.comment("B", "recheck")
    assert len(messages_to(world, "B")) == 1
    message = world.details("A").commit_message
    world.new_patch_set("A")
    assert message == world.details("A").commit_message
    assert [each.report.patchset for each in messages_to(world, "A")] == ["1", "2"]


def test_a_report_of_a_circle_that_does_not_arrive_is_repeated_and_shown_to_operators():
    world = in_a_circle(told=True)
    world._tell_report = lambda effect: "told"
    world.answers_reports = False
    world.uploaded("A")
    (first,) = world.outstanding(SendReport)
    world.delivers(first, DeliveryOutcome.UNREACHABLE, "no route")
    (shown,) = world.scheduler.undelivered_reports()
    assert (shown.subject, shown.text) == ("1,1", "no route")
    world.fire_timers(world.at + 10)
    (again,) = world.outstanding(SendReport)
    world.delivers(again)
    assert not world.scheduler.undelivered_reports()
