"""A real Gerrit: its jars by Maven, a site in a folder, the server as a process on two loopback ports.

The two jars for authors of plugins hold the whole server but its web pages. Java 21 runs 3.13, Java 17 runs 3.10.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Self

from ci_gate.sandbox.ports import free_port

POM = Path(__file__).parent / "pom.xml"
HOST = "127.0.0.1"
VERSIONS = ((21, "3.13.0"), (17, "3.10.0"))  # from this Java on, this Gerrit
RESOLVER = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:build-classpath"
MAIN = "com.google.gerrit.launcher.GerritLauncher"
JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in ("net", "lang", "util")),
)
START_S = 120.0
STOP_S = 30.0
ADMIN = ("admin", "secret")


class GerritServer:
    """``http`` and ``ssh`` are its ports, the same after every start."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.http, self.ssh = free_port(), free_port()
        self.java, self.version = _java()
        self.log = site / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.make_site()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def make_site(self) -> None:
        self.site.mkdir(parents=True)
        # The jars leave the server's own number out, so that it would call itself "(dev)".
        number = self.site / "number/com/google/gerrit/common/Version"
        number.parent.mkdir(parents=True)
        number.write_text(f"{self.version}\n")
        self._jars = f"{self.site / 'number'}:{_class_path(self.java, self.version)}"
        self._configure()
        command = [*self._command, "init", "-d", str(self.site), "--batch", "--dev", "--no-auto-start"]
        made = subprocess.run([*command, "--skip-plugins"], capture_output=True, text=True, check=False)
        assert made.returncode == 0, made.stdout + made.stderr
        self._configure()  # init changes some of it in its own way

    def start(self) -> None:
        """Until both ports answer."""
        command = [*self._command, "daemon", "-d", str(self.site), "--headless", "--console-log"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        ends_at = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < ends_at, f"no answer within {START_S:g} s"
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_S)
            self._process = None

    def rest(self, method: str, path: str, data: object = None, *, by: tuple[str, str] = ADMIN) -> object:
        """The answer of ``/a/PATH``, decoded. Raises urllib.error.HTTPError."""
        request = urllib.request.Request(f"http://{HOST}:{self.http}/a/{path}", method=method)
        request.add_header("Authorization", "Basic " + base64.b64encode(":".join(by).encode()).decode())
        if data is not None:
            request.data = data if isinstance(data, bytes) else json.dumps(data).encode()
            request.add_header("Content-Type", "text/plain" if isinstance(data, bytes) else "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read().removeprefix(b")]}'\n")
        return json.loads(body) if body.strip() else None

    @property
    def _command(self) -> list[str]:
        return [str(self.java), *JVM, "-cp", self._jars, MAIN]

    def _answers(self) -> bool:
        try:
            self.rest("GET", "config/server/version")
            with socket.create_connection((HOST, self.ssh), timeout=5) as ssh:
                return ssh.recv(4) == b"SSH-"
        except OSError:
            return False

    def _configure(self) -> None:
        values = {
            "gerrit.basePath": "git",
            "gerrit.canonicalWebUrl": f"http://{HOST}:{self.http}/",
            "gerrit.instanceId": "under-test",
            "auth.type": "DEVELOPMENT_BECOME_ANY_ACCOUNT",
            "auth.gitBasicAuthPolicy": "HTTP",
            "httpd.listenUrl": f"http://{HOST}:{self.http}/",
            "httpd.maxThreads": "20",
            "sshd.listenAddress": f"{HOST}:{self.ssh}",
            "sshd.advertisedAddress": f"{HOST}:{self.ssh}",
            "sendemail.enable": "false",
            "index.type": "lucene",
            "receive.enableSignedPush": "false",
        }
        config = self.site / "etc/gerrit.config"
        config.parent.mkdir(exist_ok=True)
        for name, value in values.items():
            subprocess.run(["git", "config", "-f", str(config), name, value], check=True)


def _java() -> tuple[Path, str]:
    """The newest Java on this machine, and the Gerrit that it runs."""
    homes = [Path(os.environ["JAVA_HOME"])] if "JAVA_HOME" in os.environ else sorted(Path("/usr/lib/jvm").glob("*/"))
    found = {_major(java): java for home in homes if (java := home / "bin/java").exists()}
    newest = max(found, default=0)
    for since, version in VERSIONS:
        if newest >= since:
            return found[newest], version
    raise AssertionError(f"no Java {VERSIONS[-1][0]} or newer: scripts/system-packages java")


def _major(java: Path) -> int:
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    number = re.search(r'version "(\d+)', told)
    return int(number[1]) if number else 0


def _class_path(java: Path, version: str) -> str:
    """Asked of Maven once, by one test process at a time; kept beside the jars that it names."""
    kept = Path(f"~/.m2/ci-gate-real-gerrit-{version}.txt").expanduser()
    kept.parent.mkdir(exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists() or not all(Path(each).exists() for each in kept.read_text().split(":")):
            _ask_maven(java, version, kept)
    return kept.read_text().strip()


def _ask_maven(java: Path, version: str, kept: Path) -> None:
    written = kept.with_suffix(".new")
    wanted = [f"-Dgerrit.version={version}", RESOLVER, f"-Dmdep.outputFile={written}"]
    subprocess.run(
        ["mvn", "-q", "-B", "-f", str(POM), *wanted],
        check=True,
        env=os.environ | {"JAVA_HOME": str(java.parent.parent)},
    )
    written.replace(kept)
