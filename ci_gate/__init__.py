"""ci-gate: Gerrit events in, pipelines decide, jobs out over Gearman, votes back.

Read ``docs/architecture.md`` first, then ``scheduler/scheduler.py``, ``inputs.py`` and ``effects.py``.
"""

__version__ = "0.1.0"
