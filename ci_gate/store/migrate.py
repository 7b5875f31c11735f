"""Brings the tables up to date. alembic is loaded only when there is something to do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from ci_gate.store.tables import VERSION_TABLE

NEWEST = "0005"
ALONE = 0x63696761  # the advisory lock of whoever changes tables: two that start at once must not both
FOLDER = Path(__file__).parent / "migrations"


class SchemaError(Exception):
    """The tables are those of a newer ci-gate. The text says what to do."""


def bring_up_to_date(connection: Connection) -> None:
    """Within the caller's transaction. Raises SchemaError, and what SQLAlchemy raises."""
    if version_of(connection) == NEWEST:
        return
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ALONE})
    version = version_of(connection)
    if version == NEWEST:
        return
    if connection.dialect.name == "sqlite" and not _in_transaction(connection):
        # Python's driver begins none before it makes tables: whoever dies in between would leave half of them.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        version = version_of(connection)
    if version is not None and version > NEWEST:
        raise SchemaError(
            f"the journal was written by a newer ci-gate (its tables have version {version}); install that"
        )
    from alembic import command  # noqa: PLC0415  # a third of a second that only a new or an old database costs
    from alembic.config import Config  # noqa: PLC0415  # as above

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def version_of(connection: Connection) -> str | None:
    """None where there are no tables yet."""
    if VERSION_TABLE not in inspect(connection).get_table_names():
        return None
    version = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608  # a name of ours
    return None if version is None else str(version)


def _in_transaction(connection: Connection) -> bool:
    return bool(connection.connection.in_transaction)
