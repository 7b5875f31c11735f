"""The tables of Zuul 2.6's sql reporter (outputs.md 4), and making them where there are none.

A database of Zuul 2 is used as it is: nothing is added to it or changed, so that Zuul can go on using it. A new one
gets the same tables with the same version, and the indexes that Zuul's lack.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
)

VERSION = "4d3ebd7f06b9"
LONGEST_STRING = 255
LONGEST_UUID = 36

metadata = MetaData()

versions = Table(
    "alembic_version",
    metadata,
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

buildsets = Table(
    "zuul_buildset",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("zuul_ref", String(LONGEST_STRING)),
    Column("pipeline", String(LONGEST_STRING)),
    Column("project", String(LONGEST_STRING)),
    Column("change", Integer),
    Column("patchset", Integer),
    Column("ref", String(LONGEST_STRING)),
    Column("score", Integer),
    Column("message", Text),
    Index("zuul_buildset_project_change", "project", "change"),
)

builds = Table(
    "zuul_build",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("buildset_id", Integer, ForeignKey("zuul_buildset.id")),
    Column("uuid", String(LONGEST_UUID)),
    Column("job_name", String(LONGEST_STRING)),
    Column("result", String(LONGEST_STRING)),
    Column("start_time", DateTime),
    Column("end_time", DateTime),
    Column("voting", Boolean),
    Column("log_url", String(LONGEST_STRING)),
    Column("node_name", String(LONGEST_STRING)),
    Index("zuul_build_buildset_id", "buildset_id"),
    Index("zuul_build_job_name_start_time", "job_name", "start_time"),
    Index("zuul_build_uuid", "uuid"),
)


class OtherSchemaError(Exception):
    """The database belongs to somebody else, or to another version of Zuul."""


def prepare(connection: Connection) -> bool:
    """See to it that the tables are there; were they made now? Raises OtherSchemaError and what SQLAlchemy raises.

    What an earlier try left unfinished is finished: not every database takes tables back that were made.
    """
    there = set(inspect(connection).get_table_names())
    known = list(connection.scalars(select(versions.c.version_num))) if versions.name in there else []
    if known == [VERSION]:
        return False
    if known:
        raise OtherSchemaError(
            f"its tables have version {', '.join(known)}, not {VERSION}, which is Zuul 2's; give the reporter a "
            "database of its own"
        )
    metadata.create_all(connection)
    connection.execute(insert(versions).values(version_num=VERSION))
    return True
