"""Real database servers for tests: each in a folder of its own, on loopback, as an unprivileged user, ended with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL, create_engine, text
from sqlalchemy.exc import OperationalError

from ci_gate.sandbox.ports import free_port

USER, PASSWORD = "zuul", "correct horse"
START_S = 60.0


def unprivileged() -> dict[str, str]:
    """Servers refuse to be root: as root they are somebody without rights."""
    return {"user": "nobody", "group": "nogroup"} if os.getuid() == 0 else {}


class Server:
    """``stop`` and ``start`` as often as a test likes, with the same data at the same port."""

    driver = ""
    first_database = ""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ci-gate-db-"))
        if os.getuid() == 0:
            shutil.chown(self.folder, **unprivileged())
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.install()

    def install(self) -> None:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def run(self, *command: str | Path) -> None:
        ended = subprocess.run(
            [str(each) for each in command],
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=START_S,
            **unprivileged(),
        )
        assert ended.returncode == 0, ended.stdout.decode(errors="replace")

    def start(self) -> None:
        log = (self.folder / "log").open("ab")
        self._process = subprocess.Popen(
            self.command(), cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **unprivileged()
        )
        log.close()
        ends_at = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < ends_at, "the server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(OperationalError):
            self.execute("SELECT 1")
            return True
        return False

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT if self.driver.startswith("postgres") else signal.SIGTERM)
            self._process.wait(START_S)
            self._process = None

    def remove(self) -> None:
        if self._process is not None:
            self._process.kill()  # nothing of it is needed any more
            self._process.wait(START_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        made = URL.create(self.driver, USER, PASSWORD, "127.0.0.1", self.port, database)
        return made.render_as_string(hide_password=False)

    def execute(self, statement: str) -> None:
        engine = create_engine(self.url(self.first_database), isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                connection.execute(text(statement))
        finally:
            engine.dispose()

    def new_database(self, options: str = "") -> str:
        """An empty one; its address."""
        self._made += 1
        name = f"results_{self._made}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name)


class PostgreSQL(Server):
    driver = "postgresql+psycopg"
    first_database = "postgres"

    def install(self) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        assert found, "PostgreSQL is missing: scripts/system-packages postgres"
        self._programs = found[-1]
        secret = self.folder / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.run(
            self._programs / "initdb", "-D", self.folder / "data", "-U", USER, "--auth=scram-sha-256",
            f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip

    def command(self) -> list[str]:
        settings = ("listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.folder}")
        options = [word for each in (*settings, "fsync=off", "timezone=UTC") for word in ("-c", each)]
        return [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *options]


class MariaDB(Server):
    """Without accounts: whoever asks gets in."""

    driver = "mysql+pymysql"
    first_database = ""

    def install(self) -> None:
        found = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
        assert found, "MariaDB is missing: scripts/system-packages mariadbd"
        self._server = found
        self.run("mkdir", self.folder / "data")

    def command(self) -> list[str]:
        return [
            self._server,
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            "--skip-grant-tables",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--sql-mode=STRICT_ALL_TABLES",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
            "--character-set-server=utf8mb4",
        ]
