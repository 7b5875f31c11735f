"""nginx and Apache with ``git http-backend``, set up by the example configurations of ``deploy/``.

For the benchmarks, which compare with them, and for the tests, which prove that the examples work.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ci_gate.sandbox.ports import free_port

DEPLOY = Path(__file__).parent.parent / "deploy"
HOST = "127.0.0.1"
START_S = 10.0
BINARIES = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
NGINX, FCGIWRAP, APACHE = (shutil.which(name, path=BINARIES) for name in ("nginx", "fcgiwrap", "apache2"))
APACHE_MODULES = Path("/usr/lib/apache2/modules")


@contextmanager
def nginx(folder: Path, git_dir: Path, workers: int = 20) -> Iterator[str]:
    """The URL below which it serves ``git_dir``, by fcgiwrap; ``folder`` is for its own files."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    fcgi = folder / "fcgi.socket"
    changed = {
        "listen 80;": f"listen {HOST}:{port};",
        "unix:/run/fcgiwrap.socket": f"unix:{fcgi}",
        "/var/lib/ci-gate/git": str(git_dir),
        "include fastcgi_params;": "include /etc/nginx/fastcgi_params;",
    }
    site = _example("nginx", changed)
    files = "\n".join(f"{each}_temp_path {folder};" for each in ("client_body", "fastcgi", "proxy", "uwsgi", "scgi"))
    main = folder / "nginx.conf"
    main.write_text(
        f"user root;\npid {folder}/pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{ access_log {folder}/access.log;\n{files}\n{site} }}\n"
    )
    with (
        _running([str(FCGIWRAP), "-c", str(workers), "-s", f"unix:{fcgi}"], fcgi),
        _running([str(NGINX), "-e", f"{folder}/error.log", "-c", str(main), "-g", "daemon off;"], port),
    ):
        yield f"http://{HOST}:{port}/p"


@contextmanager
def apache(folder: Path, git_dir: Path, *, threads: bool = True) -> Iterator[str]:
    """The same with Apache: with threads and mod_cgid, which is Debian's default, or without and with mod_cgi."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    site = _example("apache", {"*:80": f"{HOST}:{port}", "/var/lib/ci-gate/git": str(git_dir)})
    modules = ["authz_core", "alias", "env", "rewrite", "setenvif"]
    modules += ["mpm_event", "cgid"] if threads else ["mpm_prefork", "cgi"]
    loaded = "\n".join(f"LoadModule {each}_module {APACHE_MODULES}/mod_{each}.so" for each in modules)
    main = folder / "apache.conf"
    with tempfile.TemporaryDirectory() as public:
        Path(public).chmod(0o755)  # the server's user has to reach the socket
        main.write_text(
            f"ServerName localhost\nListen {HOST}:{port}\nPidFile {folder}/pid\nMutex file:{folder}\n{loaded}\n"
            f"{f'ScriptSock {public}/socket' if threads else ''}\n"
            f"ErrorLog {folder}/error.log\nUser nobody\nGroup nogroup\n{site}"
        )
        with _running([str(APACHE), "-f", str(main), "-d", str(folder), "-DFOREGROUND"], port):
            yield f"http://{HOST}:{port}/p"


def _example(server: str, changed: Mapping[str, str]) -> str:
    text = (DEPLOY / server / "ci-gate-git.conf").read_text(encoding="utf-8")
    for old, new in changed.items():
        assert old in text, f"the example for {server} has no {old!r} to change"
        text = text.replace(old, new)
    return text


@contextmanager
def _running(command: list[str], listens_at: Path | int) -> Iterator[None]:
    """The process, from when it takes connections until the block ends."""
    # In a session of its own: when Apache ends, it sends SIGTERM to all of its process group.
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        give_up_at = time.monotonic() + START_S
        while not _listens(listens_at):
            assert process.poll() is None, f"{command[0]}: {process.communicate()[1]}"
            assert time.monotonic() < give_up_at, f"{command[0]} does not listen"
            time.sleep(0.02)
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # fcgiwrap leaves its children alone
        process.communicate(timeout=START_S)


def _listens(where: Path | int) -> bool:
    family, address = (socket.AF_UNIX, str(where)) if isinstance(where, Path) else (socket.AF_INET, (HOST, where))
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0
