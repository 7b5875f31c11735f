"""What every thread and task is doing, for the log (SIGUSR2; scheduler.md 16)."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
import traceback

import structlog

log = structlog.stdlib.get_logger("zuul.stack_dump")


def dump_stacks() -> None:
    """To be called on the loop's thread. One record a thread, one a task."""
    names = {each.ident: each.name for each in threading.enumerate()}
    for number, frame in sys._current_frames().items():  # noqa: SLF001  # the documented way to see other threads
        stack = "".join(traceback.format_stack(frame))
        log.warning("stack of a thread", thread=names.get(number, str(number)), stack=f"\n{stack}")
    for task in sorted(asyncio.all_tasks(), key=lambda each: each.get_name()):
        written = io.StringIO()
        task.print_stack(file=written)
        log.warning("stack of a task", task=task.get_name(), stack=f"\n{written.getvalue()}")
