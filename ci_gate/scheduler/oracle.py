"""Questions whose answers are not the scheduler's own: operators' functions.

Their answers belong to the record of a step, so that a replay reads them back instead of asking again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job


@dataclass(frozen=True, slots=True)
class Answer:
    """The parameters as a function left them (any values), or what it raised, for people.

    ``error`` is the error's kind and text; the report puts the function's name in front of it.
    """

    parameters: dict[str, object]
    error: str | None = None


class Oracle(Protocol):
    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        """Call ``job.parameter_function``. Never raises: an exception becomes ``Answer.error``."""
