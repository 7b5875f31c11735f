"""Answers about a layout without running it: which jobs, which pipelines, which queues, and why.

Each module takes a resolved ``Layout`` and asks the scheduler's own functions, so that an answer here is what the
service would do. Used by the commands; knows nothing of printing.
"""
