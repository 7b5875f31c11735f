"""Every decision of the service, and nothing else: inputs in, effects out; no I/O, no clock, no threads.

Read ``inputs.py``, ``effects.py`` and ``scheduler.py`` first.
"""
