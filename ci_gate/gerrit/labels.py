"""Labels that a Gerrit does not have: it drops votes on them without a word (gerrit-wire.md 6.3).

The labels that there are stand in the event that our own comment comes back as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ci_gate.model.event import Event
from ci_gate.model.labels import normal_label

MOST_WAITING = 1000


class LabelWatch:
    """For the account ``user``. ``alert`` gets a text, once for each project and label."""

    def __init__(self, user: str, alert: Callable[[str], None]) -> None:
        self._user = user
        self._alert = alert
        self._sent: dict[str, dict[str, None]] = {}
        self._told: set[tuple[str | None, str]] = set()

    def sent(self, number: str, labels: Iterable[tuple[str, int]]) -> None:
        """A review with these votes is about to be sent. One that takes a vote back may show nothing."""
        wanted = dict.fromkeys(name for name, value in labels if value)
        if wanted:
            self._sent.setdefault(number, {}).update(wanted)
        if len(self._sent) > MOST_WAITING:  # a stream that is away brings no events of ours
            del self._sent[next(iter(self._sent))]

    def heard(self, event: Event) -> None:
        """Of the stream. What is no comment of ours says nothing."""
        ours = event.account is not None and event.account.username == self._user
        if event.type != "comment-added" or not ours or not event.votes or event.number not in self._sent:
            return
        there = {normal_label(vote.label) for vote in event.votes}
        for label in self._sent.pop(event.number):
            if normal_label(label) not in there and (event.project, label) not in self._told:
                self._told.add((event.project, label))
                self._alert(
                    f"project {event.project} has no label {label}: Gerrit drops that vote without a word; "
                    "change the layout, or give the project the label"
                )
