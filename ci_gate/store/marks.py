"""Up to when the events of a Gerrit connection are complete in the journal, and where branches and tags stood then.

In the journal's database, so that whoever takes that over goes on from there. Everything here blocks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import delete, insert, select

from ci_gate.failpoints import failpoint
from ci_gate.store.journal import engine_for
from ci_gate.store.tables import marks


@dataclass(frozen=True, slots=True)
class Mark:
    """``since``: all that happened before is in the journal; ``began_at``: what happened before is nobody's business.

    Both by Gerrit's clock, seconds. ``refs``: project to full ref name to revision.
    """

    began_at: float
    since: float
    refs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class Marks:
    """Each call has a connection of its own. Methods raise what SQLAlchemy raises."""

    def __init__(self, dburi: str) -> None:
        self._engine = engine_for(dburi)

    def load(self, connection: str) -> Mark | None:
        """None: that connection was never listened to; what cannot be read counts as that too."""
        with self._engine.connect() as opened:
            body = opened.scalar(select(marks.c.body).where(marks.c.connection == connection))
        if body is None:
            return None
        try:
            return Mark(**json.loads(body))
        except (TypeError, ValueError):
            return None

    def keep(self, connection: str, mark: Mark) -> None:
        body = json.dumps({"began_at": mark.began_at, "since": mark.since, "refs": mark.refs})
        with self._engine.begin() as opened:
            opened.execute(delete(marks).where(marks.c.connection == connection))
            opened.execute(insert(marks).values(connection=connection, body=body))
            failpoint("mark.before-commit")
        failpoint("mark.after-commit")
