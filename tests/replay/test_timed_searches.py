"""Searches that took too long: an answer that depended on the clock is read back, and not found out anew."""

from __future__ import annotations

import pytest
from recorded_parts import RecordedScript, World
from scripted_world import check_pipeline, gerrit_filter, layout, project

from ci_gate.config.layout import limits
from ci_gate.config.layout.expressions import compile_expression
from ci_gate.config.layout.limits import Remembering, TimedOut, as_recorded, take_timed_out
from ci_gate.daemon.records import decode_answers, encode_answers
from ci_gate.daemon.recovery import recover
from ci_gate.replay.running import Span, run
from ci_gate.scheduler.explain import Code
from ci_gate.scheduler.oracle import Answer
from ci_gate.store.reading import JournalReader

SLOW = r"(?:a|a)+(?<!x)\n*$"  # RE2 has no means for it
ENDLESS = "a" * 5000 + "!"


@pytest.fixture(autouse=True)
def nothing_left_of_others():
    take_timed_out()
    yield
    take_timed_out()


def strike(self, expression, text, ask):
    """On a machine that is too slow for anything."""
    self.struck.append(TimedOut.of(expression, text))
    return False


def slow_layout():
    asked = compile_expression(SLOW, for_strangers=True)
    assert asked.search("aaaa")
    pipeline = check_pipeline(triggers=(gerrit_filter("comment-added", comments=(asked,)),))
    return layout(pipeline, projects=(project("demo/one", check=["one"]),))


def recorded_world(folder, monkeypatch, *, too_slow: bool) -> RecordedScript:
    recorded = RecordedScript(folder, World(slow_layout()))
    recorded.world.create("A")
    with monkeypatch.context() as patch:
        if too_slow:
            patch.setattr(Remembering, "found", strike)
        recorded.world.comment("A", "aaaa")
    return recorded


def codes(recorded: RecordedScript) -> list[Code]:
    return [each.code for some in recorded.decisions for each in some]


@pytest.mark.parametrize("too_slow", [False, True])
def test_what_took_too_long_then_is_not_found_in_a_replay_and_after_a_restart(tmp_path, monkeypatch, too_slow):
    recorded = recorded_world(tmp_path, monkeypatch, too_slow=too_slow)
    assert (Code.ENTERED in codes(recorded)) is not too_slow
    steps = list(run(JournalReader(recorded.address), Span()))
    assert all(each.step.as_recorded for each in steps)
    assert [one.code for each in steps for one in each.decisions] == codes(recorded)
    assert recover(recorded.journal).scheduler.snapshot() == recorded.world.scheduler.snapshot()
    assert take_timed_out() == [], "a replay records nothing"


def test_without_the_record_of_it_the_decision_is_another(tmp_path, monkeypatch):
    recorded = recorded_world(tmp_path, monkeypatch, too_slow=True)
    kept = next(each for each in recorded.journal.entries(0) if each.answers != "[]")
    assert [each.expression for each in decode_answers(kept.answers)] == [SLOW]
    monkeypatch.setattr("ci_gate.daemon.recovery.decode_answers", lambda _: [])
    assert not all(each.step.as_recorded for each in run(JournalReader(recorded.address), Span()))


def test_a_search_that_takes_too_long_is_remembered_once_with_its_text_unreadable():
    expression = compile_expression(r"^(a+)+(?<!x)\1$", for_strangers=True)
    assert not expression.search(ENDLESS)
    (told,) = take_timed_out()
    assert told == TimedOut.of(r"^(a+)+(?<!x)\1$", ENDLESS)
    assert "aaaa" not in told.text
    assert take_timed_out() == []
    assert expression.search("aaaaaa")
    assert take_timed_out() == []


def test_in_a_replay_other_searches_have_the_time_that_they_need(monkeypatch):
    monkeypatch.setattr(limits, "LONGEST_SEARCH_S", 0.0)
    given = []

    def ask(text: str, timeout: float) -> object:
        given.append(timeout)
        return object()

    with as_recorded([TimedOut.of("one", "text")]):
        assert limits.found_in_time("two", "text", ask)
        assert limits.found_in_time("one", "other", ask)
        assert not limits.found_in_time("one", "text", ask)
    assert given == [limits.LONGEST_REPLAYED_S] * 2


def test_both_kinds_of_answers_come_back_from_the_journal():
    answers = [Answer({"A": "1"}), TimedOut("x", "digest"), Answer({}, "KeyError: x")]
    assert decode_answers(encode_answers(answers)) == answers
