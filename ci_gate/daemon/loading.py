"""Reading the layout that the service is to run, while it may be running another."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ci_gate.config.layout import LoadedLayout, load_layout
from ci_gate.config.settings import Settings

LONGEST_TURN_S = 0.001


def load_for_service(settings: Settings) -> LoadedLayout:
    """Ready for use. May run in a thread. Raises RefusedError."""
    with _out_of_the_way():
        loaded = load_layout(
            settings.layout_config,
            connections=settings.drivers,
            noop_joins_queues=settings.scheduler.noop_joins_queues,
        )
        loaded.prepare()
    return loaded


@contextmanager
def _out_of_the_way() -> Iterator[None]:
    """All other threads get their turn soon, and nothing stops them all to look for garbage: a large layout is read by
    way of hundreds of thousands of objects, which would be looked through over and over, and none of them is any."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(LONGEST_TURN_S)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        sys.setswitchinterval(interval)
