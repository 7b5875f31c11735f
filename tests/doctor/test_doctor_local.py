"""The doctor at home: files, folders, git, disks, databases, mail and statsd."""

from __future__ import annotations

import os
import shutil
import socket
import socketserver
import tempfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from doctor_parts import LAYOUT, DoctorSite, assert_good, assert_wrong

from ci_gate.doctor.check import Mark
from ci_gate.sandbox.ports import free_port
from ci_gate.store.journal import Journal, default_address

HOME = "This machine"
ELSEWHERE = "Databases and mail"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


async def test_a_site_before_its_first_start_is_good_at_home(bare_site):
    found = await bare_site.look()
    for name in ("configuration", "layout", "state_dir", "git_dir", "disk space", "git"):
        assert_good(found[f"{HOME}/{name}"])
    assert f"{HOME}/user" not in found, "the folder that would tell is not there"
    assert not bare_site.state.exists()


async def test_a_configuration_that_is_refused_is_all_there_is_to_say(bare_site):
    del bare_site.values["gearman"]["server"]
    bare_site.values["gerrit"]["port"] = "none"
    found = await bare_site.look()
    assert_wrong(found[f"{HOME}/configuration"], "2 errors", "ci-gate validate --config", str(bare_site.config))
    assert [each.mark for each in found.values()] == [Mark.WRONG, Mark.NOT_TRIED]


async def test_remarks_on_the_configuration_are_counted_and_shown_elsewhere(bare_site):
    found = await bare_site.look(webapp={"prot": "1"})
    assert_good(found[f"{HOME}/configuration"], "1 remark", "ci-gate validate")


async def test_a_layout_that_is_refused_keeps_only_what_needs_it_from_being_tried(bare_site):
    bare_site.write_layout(LAYOUT.replace("manager: Ind", "manger: Ind"))
    found = await bare_site.look()
    assert_wrong(found[f"{HOME}/layout"], "the first:", "manager", "ci-gate validate")
    assert found["Gerrit/projects"].mark is Mark.NOT_TRIED
    assert_wrong(found["Gerrit/reachable"])


async def test_a_folder_that_cannot_be_made_is_wrong(bare_site, tmp_path):
    (tmp_path / "file").touch()
    found = await bare_site.look(zuul={"state_dir": str(tmp_path / "file" / "state")})
    assert_wrong(found[f"{HOME}/state_dir"], "is not a folder")


@as_root
async def test_files_of_another_user_in_the_folder_are_wrong(bare_site):
    """As they are left by somebody who once started the service as root."""
    bare_site.state.mkdir()
    os.chown(bare_site.state, 65534, -1)
    (bare_site.state / "journal.sqlite").touch()
    found = await bare_site.look()
    assert_wrong(found[f"{HOME}/state_dir"], "journal.sqlite is root's", "chown -R nobody:")


@as_root
async def test_somebody_else_than_the_services_user_is_told_that_not_all_is_seen(bare_site):
    bare_site.state.mkdir()
    os.chown(bare_site.state, 65534, -1)
    finding = (await bare_site.look())[f"{HOME}/user"]
    assert finding.mark is Mark.UNKNOWN
    assert finding.fix.startswith("sudo -u nobody ci-gate doctor")


@as_root
async def test_a_user_who_may_not_look_into_the_folder_is_told_so_by_every_check():
    with tempfile.TemporaryDirectory() as folder:
        site = DoctorSite(Path(folder))
        site.state.mkdir()
        await site.look()  # modules that are imported late may be out of nobody's reach
        Path(folder).chmod(0o777)
        site.config.chmod(0o666)
        site.state.chmod(0o700)
        os.seteuid(65534)
        try:
            found = await site.look()
        finally:
            os.seteuid(0)
    assert found[f"{HOME}/user"].mark is Mark.UNKNOWN
    assert_wrong(found[f"{HOME}/state_dir"], "is root's and nobody cannot write there", f"chown nobody {site.state}")
    assert_wrong(found[f"{ELSEWHERE}/journal"], "Permission denied", "run this as the service's user")
    assert_wrong(found["Service/admin socket"], "for the service's user and group only")
    assert not [each for each in found.values() if "the check itself failed" in each.text]


async def test_a_disk_that_is_nearly_full_is_wrong(bare_site, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=5 * 2**20))
    assert_wrong((await bare_site.look())[f"{HOME}/disk space"], "5 MiB are free")


@pytest.mark.parametrize(
    ("script", "words"),
    [("echo git version 2.30.1", "too old"), ("exit 3", "does not run"), (None, "no git")],
    ids=["old", "broken", "none"],
)
async def test_a_git_that_is_of_no_use_is_wrong(bare_site, tmp_path, monkeypatch, script, words):
    tools = tmp_path / "bin"
    tools.mkdir()
    if script is not None:
        (tools / "git").write_text(f"#!/bin/sh\n{script}\n")
        (tools / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools))
    assert_wrong((await bare_site.look())[f"{HOME}/git"], words, "apt-get install git")


async def test_a_journal_that_is_there_is_good_and_a_damaged_one_wrong(bare_site):
    bare_site.state.mkdir()
    journal = Journal(default_address(bare_site.state))
    journal.open()
    assert_good((await bare_site.look())[f"{ELSEWHERE}/journal"])
    journal.close()
    before = sorted(bare_site.state.iterdir())
    assert_good((await bare_site.look())[f"{ELSEWHERE}/journal"])
    assert sorted(bare_site.state.iterdir()) == before
    (bare_site.state / "journal.sqlite").write_bytes(b"nonsense" * 1000)
    assert_wrong((await bare_site.look())[f"{ELSEWHERE}/journal"], "cannot be read")


async def test_databases_that_do_not_answer_are_wrong_and_their_passwords_not_shown(bare_site):
    address = f"postgresql://gate:pass-word@127.0.0.1:{free_port()}/gate"
    values = {"driver": "sql", "dburi": address}
    found = await bare_site.look(database={"dburi": address}, **{"connection results": values})
    assert_wrong(found[f"{ELSEWHERE}/journal"], "[database] dburi")
    assert_wrong(found[f"{ELSEWHERE}/database results"], "[connection results] dburi")
    assert not [each for each in found.values() if "pass-word" in each.text + each.fix]


async def test_a_results_database_of_sqlites_is_not_made_by_looking(bare_site, tmp_path):
    values = {"driver": "sql", "dburi": f"sqlite:///{tmp_path}/results.sqlite"}
    found = await bare_site.look(**{"connection results": values})
    assert_good(found[f"{ELSEWHERE}/database results"], "will be made")
    assert not (tmp_path / "results.sqlite").exists()


class _Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(b"220 mail.example.org\r\n")
        for line in self.rfile:
            self.server.verbs.append(line.split()[0].upper())
            self.wfile.write(b"250 ok\r\n")


async def test_a_mail_server_is_greeted_and_sent_nothing(bare_site):
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Smtp) as server:
        server.verbs = []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = await bare_site.look(smtp={"server": "127.0.0.1", "port": str(server.server_address[1])})
        server.shutdown()
    assert_good(found[f"{ELSEWHERE}/mail smtp"])
    assert not {b"MAIL", b"RCPT", b"DATA"} & set(server.verbs)


async def test_a_mail_server_that_is_not_there_is_wrong(bare_site):
    found = await bare_site.look(smtp={"server": "127.0.0.1", "port": str(free_port())})
    assert_wrong(found[f"{ELSEWHERE}/mail smtp"], "does not greet us", "[smtp]")


async def test_statsd_is_looked_for_only_where_metrics_are_sent(bare_site, monkeypatch):
    monkeypatch.delenv("STATSD_HOST", raising=False)
    assert f"{ELSEWHERE}/statsd" not in await bare_site.look()
    monkeypatch.setenv("STATSD_HOST", "127.0.0.1")
    assert_good((await bare_site.look())[f"{ELSEWHERE}/statsd"])
    monkeypatch.setenv("STATSD_PORT", "port")
    assert_wrong((await bare_site.look())[f"{ELSEWHERE}/statsd"], "STATSD_PORT")
    monkeypatch.delenv("STATSD_PORT")
    monkeypatch.setattr(socket, "getaddrinfo", _no_such_name)
    assert_wrong((await bare_site.look())[f"{ELSEWHERE}/statsd"], "STATSD_HOST")


def _no_such_name(*_: object, **__: object) -> None:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
