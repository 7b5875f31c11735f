"""What the live system and its shadow said, kept in the journal's database. Everything here blocks."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from ci_gate.store.journal import engine_for
from ci_gate.store.tables import shadow_said

MARK = "shadow"  # a file in state_dir: what is kept there is a shadow's
BATCH = 500  # rows that are read at a time


class ShadowRecord:
    """Each call has a connection of its own. Methods raise what SQLAlchemy raises."""

    def __init__(self, dburi: str) -> None:
        self._engine = engine_for(dburi)

    def add(self, identity: str, at: float, body: str) -> None:
        """``body`` is JSON. What is there already under this identity stays as it is."""
        try:
            with self._engine.begin() as opened:
                opened.execute(insert(shadow_said).values(id=identity, at=at, body=body))
        except IntegrityError:
            with self._engine.connect() as opened:
                if opened.scalar(select(shadow_said.c.id).where(shadow_said.c.id == identity)) is None:
                    raise

    def between(self, since: float, until: float) -> Iterator[str]:
        """The bodies of a time, in its order. ``until`` is not part of it."""
        wanted = select(shadow_said.c.body).where(shadow_said.c.at >= since, shadow_said.c.at < until)
        with self._engine.connect() as opened:
            rows = opened.execution_options(yield_per=BATCH).execute(
                wanted.order_by(shadow_said.c.at, shadow_said.c.id)
            )
            yield from rows.scalars()

    def trim(self, before: float) -> None:
        with self._engine.begin() as opened:
            opened.execute(delete(shadow_said).where(shadow_said.c.at < before))
