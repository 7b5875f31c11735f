"""What alembic runs: it is given the connection, and keeps its version in a table of ours."""

from __future__ import annotations

from alembic import context

from ci_gate.store.tables import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
