"""Records, databases as Zuul 2 left them, and what stands in them."""

from __future__ import annotations

import re
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from sqlalchemy import NullPool, create_engine, inspect, text

from ci_gate.config.settings import SqlSettings
from ci_gate.model.report import BuildRecord, ResultRecord
from ci_gate.sql.database import ResultsDatabase

COMMIT = re.compile(rb"(?<!AUTO)COMMIT")
REF = "Z0123456789abcdef0123456789abcdef"
UNIT = BuildRecord(
    "9f8e7d6c5b4a39281706f5e4d3c2b1a0",
    "unit",
    "SUCCESS",
    voting=True,
    log_url="https://logs.acme.test/10/110/3/gate/unit/9f8e7d6",
    started_at=1_767_225_600.25,
    ended_at=1_767_225_725.0,
    node_name="node-7",
)
SKIPPED = BuildRecord(None, "integ", "SKIPPED", voting=False, log_url="integ")
RECORD = ResultRecord(
    "results",
    pipeline="gate",
    project="acme/app",
    message="Build succeeded.",
    score=1,
    zuul_ref=REF,
    change="110",
    patchset="3",
    ref="refs/changes/10/110/3",
    builds=(UNIT, SKIPPED),
)
START = ResultRecord("results", "periodic", "acme/app", "Starting periodic jobs.")
TIMER = replace(START, message="Build succeeded.", builds=(UNIT,))

ZUULS_TABLES = {
    "sqlite": """
        CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
        CREATE TABLE zuul_buildset (id INTEGER NOT NULL, zuul_ref VARCHAR(255), pipeline VARCHAR(255),
            project VARCHAR(255), change INTEGER, patchset INTEGER, ref VARCHAR(255), score INTEGER, message TEXT,
            PRIMARY KEY (id));
        CREATE TABLE zuul_build (id INTEGER NOT NULL, buildset_id INTEGER, uuid VARCHAR(36), job_name VARCHAR(255),
            result VARCHAR(255), start_time DATETIME, end_time DATETIME, voting BOOLEAN, log_url VARCHAR(255),
            node_name VARCHAR(255), PRIMARY KEY (id), FOREIGN KEY(buildset_id) REFERENCES zuul_buildset (id),
            CHECK (voting IN (0, 1)))""",
    "postgresql": """
        CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
        CREATE TABLE zuul_buildset (id SERIAL NOT NULL, zuul_ref VARCHAR(255), pipeline VARCHAR(255),
            project VARCHAR(255), change INTEGER, patchset INTEGER, ref VARCHAR(255), score INTEGER, message TEXT,
            PRIMARY KEY (id));
        CREATE TABLE zuul_build (id SERIAL NOT NULL, buildset_id INTEGER, uuid VARCHAR(36), job_name VARCHAR(255),
            result VARCHAR(255), start_time TIMESTAMP WITHOUT TIME ZONE, end_time TIMESTAMP WITHOUT TIME ZONE,
            voting BOOLEAN, log_url VARCHAR(255), node_name VARCHAR(255), PRIMARY KEY (id),
            FOREIGN KEY(buildset_id) REFERENCES zuul_buildset (id))""",
    "mysql": """
        CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL);
        CREATE TABLE zuul_buildset (id INTEGER NOT NULL AUTO_INCREMENT, zuul_ref VARCHAR(255), pipeline VARCHAR(255),
            project VARCHAR(255), `change` INTEGER, patchset INTEGER, ref VARCHAR(255), score INTEGER, message TEXT,
            PRIMARY KEY (id)) ENGINE=InnoDB;
        CREATE TABLE zuul_build (id INTEGER NOT NULL AUTO_INCREMENT, buildset_id INTEGER, uuid VARCHAR(36),
            job_name VARCHAR(255), result VARCHAR(255), start_time DATETIME, end_time DATETIME, voting BOOL,
            log_url VARCHAR(255), node_name VARCHAR(255), PRIMARY KEY (id),
            FOREIGN KEY(buildset_id) REFERENCES zuul_buildset (id)) ENGINE=InnoDB""",
}
"""As the migration of Zuul 2.6 writes them in each kind of database."""

ZUULS_ROWS = """
    INSERT INTO alembic_version VALUES ('4d3ebd7f06b9');
    INSERT INTO zuul_buildset (zuul_ref, pipeline, project, patchset, ref, score, message)
        VALUES ('Zold', 'gate', 'acme/app', 1, 'refs/changes/01/1/1', 1, 'Build succeeded.');
    INSERT INTO zuul_build (buildset_id, uuid, job_name, result, voting) VALUES (1, 'old', 'unit', 'SUCCESS', true)"""


@contextmanager
def connected(dburi: str) -> Iterator[Any]:
    engine = create_engine(dburi, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


def execute(dburi: str, statements: str) -> None:
    with connected(dburi) as connection:
        for each in statements.split(";"):
            connection.execute(text(each))


def make_zuuls_database(dburi: str) -> None:
    with connected(dburi) as connection:
        kind = connection.dialect.name
    execute(dburi, ZUULS_TABLES[kind])
    execute(dburi, ZUULS_ROWS)


def rows(dburi: str, table: str) -> list[dict[str, Any]]:
    """In order of entry."""
    with connected(dburi) as connection:
        order = "" if table == "alembic_version" else " ORDER BY id"
        return [dict(each._mapping) for each in connection.execute(text(f"SELECT * FROM {table}{order}"))]  # noqa: S608  # tests' own


def structure(dburi: str) -> dict[str, Any]:
    """Tables with their columns, keys and indexes, in comparable words."""
    with connected(dburi) as connection:
        seen = inspect(connection)
        return {
            table: {
                "columns": [(each["name"], str(each["type"]), each["nullable"]) for each in seen.get_columns(table)],
                "primary key": seen.get_pk_constraint(table)["constrained_columns"],
                "foreign keys": [
                    (each["constrained_columns"], each["referred_table"]) for each in seen.get_foreign_keys(table)
                ],
                "indexes": sorted(each["name"] for each in seen.get_indexes(table)),
            }
            for table in seen.get_table_names()
        }


@contextmanager
def results(dburi: str) -> Iterator[ResultsDatabase]:
    database = ResultsDatabase(SqlSettings("results", dburi))
    try:
        yield database
    finally:
        database.close()


class Proxy:
    """Passes everything on to a database, until it is told to swallow the answer to a commit and to hang up."""

    def __init__(self, port: int) -> None:
        self.loses_answers = False
        self._target = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._target))
        with suppress(OSError), client, server:
            while True:
                for source in select.select([client, server], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    if source is client and self.loses_answers and COMMIT.search(data):
                        server.sendall(data)
                        server.recv(65536)  # it is done, and nobody will hear so
                        return
                    (client if source is server else server).sendall(data)
