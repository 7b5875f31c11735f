"""The event stream: in order, without doubles, reopened whatever ends it (gerrit-wire.md 3.1)."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from gerrit_parts import PROJECT, recorded_events, settings_for, when

from ci_gate.gerrit import lines
from ci_gate.gerrit import stream as stream_module
from ci_gate.gerrit.stream import Backoff, EventStream
from ci_gate.sandbox.gerrit_ssh import _Session


class Listening:
    """A running stream and what it has told."""

    def __init__(self, gerrit, **options) -> None:
        self.events, self.alerts = [], []
        self.stream = EventStream(settings_for(gerrit, **options), self.events.append, on_alert=self.alerts.append)

    async def __aenter__(self):
        self._task = asyncio.create_task(self.stream.run())
        return self

    async def __aexit__(self, *_):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def up(self):
        await when(lambda: self.stream.state.connected, "the stream")
        return self

    def types(self):
        return [each.type for each in self.events]


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(stream_module, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(stream_module, "LONGEST_PAUSE_S", 0.2)


@pytest.fixture
async def listening(gerrit):
    async with Listening(gerrit) as made:
        await made.up()
        await when(lambda: gerrit.listeners, "the listener")
        yield made


async def test_events_come_in_the_order_of_the_stream(gerrit, listening):
    for number in range(100):
        gerrit.send_event({"type": "comment-added", "change": {"project": "p", "branch": "b", "number": number + 1}})
    await when(lambda: len(listening.events) == 100, "all events")
    assert [each.number for each in listening.events] == [str(number + 1) for number in range(100)]


async def test_an_upload_is_told(gerrit, listening):
    change = gerrit.create_change(PROJECT, {"file": "x\n"}, "Change\n", by="dev")
    await when(lambda: "patchset-created" in listening.types(), "the event")
    event = next(each for each in listening.events if each.type == "patchset-created")
    assert (event.number, event.patchset, event.account.username) == (str(change.number), "1", "dev")


async def test_broken_lines_and_unknown_types_are_counted_and_harm_nothing(gerrit, listening):
    gerrit.write_to_streams(b'{"type": broken\n\n[1]\n\xff\xff\n{"type": "brand-new"}\n{"type": "brand-new"}\n')
    gerrit.send_event({"type": "comment-added", "change": {"project": "p", "branch": "b", "number": 1}})
    await when(lambda: listening.events, "the event after them")
    assert listening.stream.state.broken_lines == 3
    assert listening.stream.state.unknown_types == 2


async def test_a_lost_connection_is_made_again(gerrit, listening):
    gerrit.cut_streams()
    await when(lambda: not listening.stream.state.connected, "the loss")
    await listening.up()
    await when(lambda: gerrit.listeners, "the listener")
    gerrit.send_event({"type": "comment-added", "change": {"project": "p", "branch": "b", "number": 1}})
    await when(lambda: listening.events, "an event")
    assert listening.stream.state.reconnects == 1
    assert listening.stream.state.broken_lines == 0, "half a line at the end of a connection is no line"


async def test_a_gerrit_that_is_away_is_tried_again_and_the_reason_kept(gerrit):
    gerrit.stop()
    async with Listening(gerrit) as made:
        await when(lambda: "cannot reach Gerrit" in made.stream.state.detail, "the reason")
        gerrit.start()
        await made.up()
        assert made.stream.state.detail == ""


async def test_one_that_falls_silent_is_noticed(gerrit):
    async with Listening(gerrit, stream_timeout_s=1.0) as made:
        await made.up()
        gerrit.faults.freeze()
        await when(lambda: not made.stream.state.connected, "the silence to be noticed")
        assert "does not answer" in made.stream.state.detail
        gerrit.faults.thaw()
        await made.up()


async def test_one_that_is_merely_quiet_is_left_alone(gerrit):
    async with Listening(gerrit, stream_timeout_s=0.4) as made:
        await made.up()
        await asyncio.sleep(1.0)  # longer than two timeouts
        assert made.stream.state.connected
        assert made.stream.state.reconnects == 0


async def test_an_account_without_the_right_to_listen_is_told_so(gerrit, monkeypatch):
    monkeypatch.setattr(stream_module, "ACCOUNT_PAUSE_S", 60.0)
    gerrit.create_account("deaf", may_stream=False)
    async with Listening(gerrit, user="deaf", sshkey=gerrit.key_file("deaf")) as made:
        await when(lambda: "not permitted" in made.stream.state.detail, "the refusal")
        assert made.stream.state.reconnects == 0
        assert made.alerts == ["no event stream: stream events not permitted"]


async def test_an_account_that_is_not_let_in_is_told_to_the_operator_once_and_left_alone(gerrit, monkeypatch):
    monkeypatch.setattr(stream_module, "ACCOUNT_PAUSE_S", 0.05)
    async with Listening(gerrit, user="nobody") as made:
        await when(lambda: made.stream.state.reconnects >= 3, "three tries")
        (alert,) = made.alerts
        assert "does not let user nobody in" in alert


async def test_another_host_key_is_told_to_the_operator(gerrit):
    async with Listening(gerrit) as made:
        await made.up()
        gerrit.change_host_key()
        gerrit.stop()
        gerrit.start()
        await when(lambda: made.alerts, "the alert")
        assert "has CHANGED" in made.alerts[0]


async def test_one_whose_ssh_server_lives_and_answers_no_command_is_noticed(gerrit):
    """Neither keepalives nor new channels tell: its TCP connection and its SSH server are well."""
    async with Listening(gerrit, stream_timeout_s=0.6) as made:
        await made.up()
        gerrit.faults.stall("version")
        await when(lambda: not made.stream.state.connected, "the silence to be noticed")
        assert "does not answer" in made.stream.state.detail
        gerrit.faults.clear()
        await made.up()


@pytest.fixture
def answering(monkeypatch):
    """Until it is set, requests to carry a command out that has the given text are not answered."""
    let, asked, unpatched = threading.Event(), [], _Session.check_channel_exec_request

    def look(session, channel, command):
        if asked and asked[0] in command:
            assert let.wait(30)
        return unpatched(session, channel, command)

    monkeypatch.setattr(_Session, "check_channel_exec_request", look)
    yield let, asked
    let.set()


async def test_one_that_does_not_begin_the_stream_is_left_and_tried_again(gerrit, answering, monkeypatch):
    monkeypatch.setattr(stream_module, "PROBE_ANSWER_S", 0.3)
    let, asked = answering
    asked.append(b"stream-events")
    async with Listening(gerrit) as made:
        await when(lambda: made.stream.state.reconnects, "a second try")
        assert "did not answer gerrit stream-events" in made.stream.state.detail
        let.set()
        await made.up()


async def test_one_that_does_not_begin_the_question_whether_it_lives_is_left(gerrit, answering):
    let, asked = answering
    async with Listening(gerrit, stream_timeout_s=0.6) as made:
        await made.up()
        asked.append(b"version")
        await when(lambda: not made.stream.state.connected, "the silence to be noticed")
        assert "does not answer" in made.stream.state.detail
        let.set()
        await made.up()


async def test_one_that_does_not_carry_the_question_out_lives(gerrit, monkeypatch):
    refused, unpatched = [], _Session.check_channel_exec_request

    def look(session, channel, command):
        refused.append(command)
        return command != b"gerrit version" and unpatched(session, channel, command)

    monkeypatch.setattr(_Session, "check_channel_exec_request", look)
    async with Listening(gerrit, stream_timeout_s=0.4) as made:
        await made.up()
        await when(lambda: refused.count(b"gerrit version") >= 2, "two refusals")
        assert made.stream.state.connected
        assert made.stream.state.reconnects == 0


async def test_one_that_refuses_more_channels_lives(gerrit):
    async with Listening(gerrit, stream_timeout_s=0.4) as made:
        await made.up()
        gerrit.faults.most_channels = 1
        await when(lambda: gerrit.faults.refused_channels >= 2, "two refusals")
        assert made.stream.state.connected
        assert made.stream.state.reconnects == 0


async def test_a_line_of_several_mebibytes_is_taken_and_one_over_the_limit_passed_over(gerrit, listening):
    def event(number: int, length: int) -> dict:
        change = {"project": "p", "branch": "b", "number": number}
        return {"type": "comment-added", "change": change, "comment": "x" * length}

    for number, length in enumerate((lines.LONGEST_LINE - 1000, lines.LONGEST_LINE, 10), 1):
        gerrit.send_event(event(number, length))
    await when(lambda: len(listening.events) == 2, "the others")
    assert [(each.number, len(each.comment)) for each in listening.events] == [
        ("1", lines.LONGEST_LINE - 1000),
        ("3", 10),
    ]
    assert listening.stream.state.broken_lines == 1
    assert listening.stream.state.reconnects == 0


def test_pauses_double_up_to_a_minute(monkeypatch):
    monkeypatch.undo()
    backoff = Backoff(jitter=lambda: 1.0)
    assert [backoff.pause_s(0.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.pause_s(59.0) == 60
    assert [backoff.pause_s(60.0), backoff.pause_s(0.0)] == [1, 2], "a minute of health makes good"


def test_pauses_are_spread_and_never_under_a_second(monkeypatch):
    monkeypatch.undo()
    spread = [[backoff.pause_s(0.0) for _ in range(5)] for backoff in (Backoff() for _ in range(50))]
    assert all(pauses[0] >= 1.0 and 12.8 <= pauses[4] <= 19.2 for pauses in spread)
    assert len({pauses[4] for pauses in spread}) > 40


@pytest.mark.parametrize("batch_first", [True, False])
async def test_an_update_that_came_in_a_batch_is_told_once(gerrit, listening, batch_first):
    batch = next(each for each in recorded_events("3.13.0") if each["type"] == "batch-ref-updated")
    singles = [
        {"type": "ref-updated", "refUpdate": {**each, "project": batch["projectName"]}} for each in batch["refUpdates"]
    ]
    for each in [batch, *singles] if batch_first else [*singles, batch]:
        gerrit.send_event(each)
    gerrit.send_event({"type": "comment-added", "change": {"project": "p", "branch": "b", "number": 1}})
    await when(lambda: "comment-added" in listening.types(), "the event after them")
    assert listening.types().count("ref-updated") == len(batch["refUpdates"])


async def test_a_branch_that_comes_back_to_where_it_was_is_told_of_again(gerrit, listening):
    def batch(new: str) -> dict:
        update = {"project": "p", "refName": "refs/heads/b", "oldRev": "0" * 40, "newRev": new}
        return {"type": "batch-ref-updated", "projectName": "p", "refUpdates": [update]}

    for new in ("a" * 40, "b" * 40, "a" * 40, "a" * 40):
        gerrit.send_event(batch(new))
    await when(lambda: len(listening.events) == 4, "all of them")


async def test_stopping_ends_thread_and_connection(gerrit):
    async with Listening(gerrit) as made:
        await made.up()
    await when(lambda: not gerrit.listeners and not gerrit.connections, "the connection to be closed")
