"""The tables of journal, snapshots and build history. ``migrations/`` makes them, and brings older ones up to date.

Their names say whose they are: the database may be one that others use as well.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, MetaData, String, Table, Text

VERSION_TABLE = "ci_gate_schema_version"

metadata = MetaData()

KEY = BigInteger().with_variant(Integer, "sqlite")  # what SQLite calls its own row number

journal = Table(
    "ci_gate_journal",
    metadata,
    Column("seq", KEY, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False, index=True),
    Column("kind", String(40), nullable=False),
    Column("input", Text, nullable=False),
    Column("answers", Text, nullable=False),
    Column("effects", Text, nullable=False),
)
"""One row a step, in order: the input, what operators' functions answered, and the effects, as JSON."""

snapshots = Table(
    "ci_gate_snapshot",
    metadata,
    Column("seq", KEY, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("layout", String(64), nullable=False),
    Column("body", Text, nullable=False),
)
"""The scheduler's memory after the step ``seq``; ``layout`` was in force then."""

layouts = Table(
    "ci_gate_layout",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("body", Text, nullable=False),
)
"""Layouts by the digest of what they say."""

progress = Table(
    "ci_gate_progress",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("seq", KEY, nullable=False),
    Column("epoch", KEY, nullable=False, server_default="0"),
)
"""``released``: the effects of all steps up to this one have been handed out; ``history``: what they tell is in it.

The leader of ``epoch`` writes ``released``.
"""

marks = Table(
    "ci_gate_mark",
    metadata,
    Column("connection", String(200), primary_key=True),
    Column("body", Text, nullable=False),
)
"""How far the events of each Gerrit connection are known to be complete, as JSON."""

past_items = Table(
    "ci_gate_item",
    metadata,
    Column("uuid", String(40), primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("project", String(400), nullable=False),
    Column("branch", Text),
    Column("change", BigInteger),
    Column("patchset", BigInteger),
    Column("ref", Text),
    Column("newrev", Text),
    Column("url", Text),
    Column("enqueued_at", Double, nullable=False),
    Column("at", Double, nullable=False, index=True),
    Column("result", Text),
    Index("ix_ci_gate_item_change", "change"),
    Index("ix_ci_gate_item_project", "project", "at"),
)
"""What was in a pipeline. ``at``: what is known of it is from then; ``result`` is null while it is inside."""

past_build_sets = Table(
    "ci_gate_buildset",
    metadata,
    Column("uuid", String(40), primary_key=True),
    Column("item_uuid", String(40), nullable=False, index=True),
    Column("at", Double, nullable=False, index=True),
    Column("result", Text, nullable=False),
    Column("zuul_ref", Text),
    Column("commit", Text),
    Column("score", Integer),
    Column("message", Text, nullable=False),
)
"""An attempt to test an item, as it ended."""

past_builds = Table(
    "ci_gate_build",
    metadata,
    Column("buildset_uuid", String(40), primary_key=True),
    Column("job_name", String(400), primary_key=True),
    Column("uuid", String(40), index=True),
    Column("at", Double, nullable=False, index=True),
    Column("result", Text, nullable=False),
    Column("voting", Boolean, nullable=False),
    Column("launch_time", Double),
    Column("start_time", Double),
    Column("end_time", Double),
    Column("log_url", Text),
    Column("url", Text),
    Column("number", BigInteger),
    Column("node_name", Text),
    Column("node_labels", Text),
    Column("worker", Text),
    Column("worker_host", Text),
    Column("reason", Text),
    Index("ix_ci_gate_build_job_name", "job_name", "at"),
)
"""Builds with their result, by build set and job; ``uuid`` is null for one that was never launched."""
shadow_said = Table(
    "ci_gate_shadow",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("body", Text, nullable=False),
)
"""What the live system and its shadow said about changes, as JSON, each once."""
leader = Table(
    "ci_gate_leader",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("epoch", KEY, nullable=False),
    Column("renewals", KEY, nullable=False),
    Column("released", Boolean, nullable=False),
    Column("place", String(200), nullable=False),
    Column("holder", String(400), nullable=False),
    Column("since", Double, nullable=False),
    Column("backend", Integer, nullable=False),
)
"""One row: who leads, or led last. ``leadership.py`` says what the columns are."""

waiting = Table(
    "ci_gate_waiting",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("body", Text, nullable=False),
)
"""Events that a leader had not looked at when it stopped, as JSON, for the next one."""
