"""Events that had arrived when the service stopped, and that it had not looked at: kept for the next start.

In a file of ``state_dir``; where another service may lead next, in the journal's database. They stay there until they
are in the journal. A start that ends before that finds them again, and takes those only that the journal does not have.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from ci_gate.failpoints import failpoint
from ci_gate.model.event import Event
from ci_gate.scheduler.codec import decode, encode
from ci_gate.scheduler.inputs import EventReceived, TimeCame
from ci_gate.store.journal import Journal

FILE = "waiting-events.json"
NAME = "events"
UNREADABLE = (OSError, LookupError, TypeError, ValueError, ExceptionGroup)
OF_ZUUL = "queue.pickle"
VERSION = 2
WITHOUT_STEP = 1  # the version whose files do not say after which step they were written

log = structlog.stdlib.get_logger("zuul.Server")

Waiting = EventReceived | TimeCame
KINDS: dict[str, type[Waiting]] = {each.__name__: each for each in (EventReceived, TimeCame)}


@dataclass(frozen=True, slots=True)
class Kept:
    """``after``: the last step of the journal when they were kept; None if that is not known."""

    waiting: tuple[Waiting, ...] = ()
    after: int | None = None


class KeptEvents:
    """Where a service keeps them. Every method blocks, and raises OSError or what SQLAlchemy raises."""

    def __init__(self, state_dir: Path, address: str, *, shared: bool) -> None:
        """``address`` of the journal; ``shared``: whoever leads next finds them there, on whatever machine."""
        self._state_dir = state_dir
        self._address = address
        self._shared = shared

    def read(self) -> list[Waiting]:
        """What the last stop kept and no step has taken since."""
        tell_of_zuuls_events(self._state_dir)
        with self._journal() as journal:
            return not_taken(read_from(journal) if self._shared else read_kept(self._state_dir), journal)

    def keep(self, waiting: Sequence[Waiting], after: int) -> None:
        """What has not been looked at yet, in place of what was kept before."""
        if not self._shared:
            keep(self._state_dir, waiting, after)
            return
        with self._journal() as journal:
            keep_in(journal, waiting, after)

    def forget(self) -> None:
        """All that was kept is in the journal."""
        if not self._shared:
            forget(self._state_dir)
            return
        failpoint("waiting-events.taken")
        with self._journal() as journal:
            journal.forget_waiting(NAME)

    @contextmanager
    def _journal(self) -> Iterator[Journal]:
        journal = Journal(self._address)
        try:
            yield journal
        finally:
            journal.close()


def keep(state_dir: Path, waiting: Sequence[Waiting], after: int) -> None:
    """Write what has not been looked at yet, in place of what was kept before. Raises OSError."""
    path = state_dir / FILE
    if not waiting:
        path.unlink(missing_ok=True)
        return
    written = path.with_suffix(".new")
    written.write_text(_text(waiting, after), encoding="utf-8")
    failpoint("waiting-events.written")
    written.replace(path)
    failpoint("waiting-events.kept")
    log.info("events are kept for the next start", number=len(waiting), file=str(path))


def keep_in(journal: Journal, waiting: Sequence[Waiting], after: int) -> None:
    """The same, for whoever leads next. Raises what SQLAlchemy raises."""
    if not waiting:
        journal.forget_waiting(NAME)
        return
    journal.keep_waiting(NAME, _text(waiting, after))
    log.info("events are kept for the next leader", number=len(waiting))


def read_kept(state_dir: Path) -> Kept:
    """What the last stop kept. A file that makes no sense is put aside, and told of."""
    path = state_dir / FILE
    try:
        return _kept(path.read_bytes())
    except FileNotFoundError:
        return Kept()
    except UNREADABLE as problem:
        aside = path.with_suffix(".unreadable")
        log.warning("events of the last stop cannot be read", file=str(aside), reason=str(problem))
        path.replace(aside)
        return Kept()


def tell_of_zuuls_events(state_dir: Path) -> None:
    """A Zuul that ran here left pickled objects: reading them would run whatever somebody wrote there."""
    path = state_dir / OF_ZUUL
    if path.exists():
        log.warning("events that Zuul kept when it stopped are ignored; delete the file", file=str(path))


def read_from(journal: Journal) -> Kept:
    """What the leader before kept. Raises what SQLAlchemy raises."""
    text = journal.waiting(NAME)
    try:
        return Kept() if text is None else _kept(text)
    except UNREADABLE as problem:
        log.warning("events of the leader before cannot be read", reason=str(problem))
        return Kept()


def not_taken(kept: Kept, journal: Journal) -> list[Waiting]:
    """Those of the kept events that no step has taken since. Blocks. Raises what SQLAlchemy raises."""
    if kept.after is None or not kept.waiting:
        return list(kept.waiting)
    taken = Counter(
        _name(decode(json.loads(entry.input), KINDS[entry.kind]))
        for entry in journal.entries(kept.after)
        if entry.kind in KINDS
    )
    left = []
    for each in kept.waiting:
        name = _name(each)
        if taken[name]:
            taken[name] -= 1
        else:
            left.append(each)
    if left:
        log.info("events of the last stop are looked at now", number=len(left))
    return left


def forget(state_dir: Path) -> None:
    """All that was kept is in the journal. Raises OSError."""
    failpoint("waiting-events.taken")
    (state_dir / FILE).unlink(missing_ok=True)


def text_for_people(waiting: int) -> str:
    """For the status page."""
    events = "1 event waits" if waiting == 1 else f"{waiting} events wait"
    return f"Stopping when what runs has ended; nothing new is started. {events} for the next start."


def _text(waiting: Sequence[Waiting], after: int) -> str:
    return json.dumps({"version": VERSION, "after": after, "waiting": [_encode(each) for each in waiting]})


def _kept(text: str | bytes) -> Kept:
    """Raises what ``UNREADABLE`` names."""
    body = json.loads(text)
    if body["version"] not in {VERSION, WITHOUT_STEP}:
        raise ValueError(f"version {body['version']} is not known")
    after = None if body["version"] == WITHOUT_STEP else int(body["after"])
    return Kept(tuple(_decode(each) for each in body["waiting"]), after)


def _name(waiting: Waiting) -> str:
    """What it is, whenever it is looked at."""
    return json.dumps(_encode(replace(waiting, at=0.0)), sort_keys=True)


def _encode(waiting: Waiting) -> object:
    match waiting:
        case EventReceived():
            return {"at": waiting.at, "event": encode(waiting.event, Event)}
        case TimeCame():
            return {"at": waiting.at, "timespec": waiting.timespec}


def _decode(data: dict[str, object]) -> Waiting:
    at = float(str(data["at"]))
    if "timespec" in data:
        return TimeCame(at, str(data["timespec"]))
    return EventReceived(at, decode(data["event"], Event))
