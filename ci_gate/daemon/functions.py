"""Operators' functions as the scheduler's oracle: what they raise goes to the log, with its traceback."""

from __future__ import annotations

import structlog

from ci_gate.config.functions import call_function
from ci_gate.config.layout import Functions
from ci_gate.model.item import ItemView
from ci_gate.model.layout import Job
from ci_gate.scheduler.oracle import Answer

log = structlog.stdlib.get_logger("zuul.LayoutFunctions")


class FunctionOracle:
    """Calls the functions of one loaded layout."""

    def __init__(self, functions: Functions) -> None:
        self._functions = functions

    def edit_parameters(self, item: ItemView, job: Job, parameters: dict[str, object]) -> Answer:
        name = job.parameter_function or ""
        answer = call_function(self._functions, name, item, job, parameters)
        if answer.error is None:
            return Answer(answer.parameters)
        log.error("parameter function failed", function=name, job=job.name, traceback=answer.traceback)
        return Answer(answer.parameters, answer.error)
