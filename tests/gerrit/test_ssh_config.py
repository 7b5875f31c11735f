"""The way to Gerrit as OpenSSH's configuration has it: keys of all kinds, an agent, aliases, commands that connect."""

from __future__ import annotations

import shlex
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import paramiko
import pytest
from gerrit_parts import when

from ci_gate import ssh_config
from ci_gate.config.settings import GerritSettings
from ci_gate.gerrit import connection
from ci_gate.gerrit.connection import AccountRefusedError, ConnectionFailedError, connect
from ci_gate.merger.ssh import ssh_variables
from ci_gate.ssh_config import SshConfigError, route_to

KINDS = ("rsa", "ecdsa", "ed25519")
CARRY = (
    "import socket, sys, threading, os; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));\n"
    "def up():\n"
    "    while d := os.read(0, 65536): s.sendall(d)\n"
    "    s.shutdown(1)\n"
    "threading.Thread(target=up, daemon=True).start()\n"
    "while d := s.recv(65536): os.write(1, d)\n"
)


@pytest.fixture
def home(tmp_path):
    found = tmp_path / "home" / ".ssh"
    found.mkdir(parents=True, exist_ok=True)
    return found


@pytest.fixture
def carry(tmp_path):
    """A command that connects its input and output with a port of this machine."""
    program = tmp_path / "carry.py"
    program.write_text(CARRY)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(program))}"


def make_key(path: Path, kind: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)], check=True)
    return path


def settings(gerrit, **options) -> GerritSettings:
    known = {"name": "gerrit", "server": "127.0.0.1", "user": "ci", "port": gerrit.port, "host_key_check": "no"}
    return GerritSettings(**(known | options))


def enter(found: GerritSettings) -> None:
    transport = connect(found)
    try:
        assert transport.is_authenticated()
    finally:
        transport.close()


@contextmanager
def ssh_agent(folder: Path):
    """A real one, whose address is in the environment."""
    address = folder / "agent"
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", str(address)], stdout=subprocess.DEVNULL)
    try:
        yield address
    finally:
        agent.terminate()
        agent.wait(10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_of_any_kind_opens(gerrit, tmp_path, kind):
    key = make_key(tmp_path / kind, kind)
    gerrit.create_account("ci", key_file=key)
    enter(settings(gerrit, sshkey=key))


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_key_file_the_usual_names_are_tried(gerrit, home, kind):
    gerrit.create_account("ci", key_file=make_key(home / f"id_{kind}", kind))
    enter(settings(gerrit))


@pytest.mark.parametrize("kind", KINDS)
async def test_the_agents_keys_are_tried(gerrit, tmp_path, monkeypatch, kind):
    key = make_key(tmp_path / "key", kind)
    gerrit.create_account("ci", key_file=key)
    with ssh_agent(tmp_path) as address:
        monkeypatch.setenv("SSH_AUTH_SOCK", str(address))
        await when(address.exists, "the agent")
        subprocess.run(["ssh-add", "-q", str(make_key(tmp_path / "other", "ed25519"))], check=True)
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
        enter(settings(gerrit))


def test_without_any_key_it_says_what_to_set(gerrit):
    with pytest.raises(AccountRefusedError, match="no key was found: set sshkey"):
        connect(settings(gerrit))


def test_a_name_may_be_an_alias_with_a_key_of_its_own(gerrit, home, tmp_path):
    key = make_key(tmp_path / "special", "ed25519")
    gerrit.create_account("ci", key_file=key)
    (home / "config").write_text(f"Host review\n  HostName 127.0.0.1\n  IdentityFile {key}\n  Port 1\n  User nobody\n")
    enter(settings(gerrit, server="review"))


def test_host_keys_are_kept_under_the_name_that_openssh_uses(gerrit, home, tmp_path):
    accepted = tmp_path / "accepted"
    (home / "config").write_text("Host review\n  HostName 127.0.0.1\n")
    known = {"known_hosts": tmp_path / "none", "accepted_hosts": accepted, "host_key_check": "accept-new"}
    found = settings(gerrit, server="review", sshkey=gerrit.key_file("ci"), **known)
    enter(found)
    assert accepted.read_text().startswith(f"[127.0.0.1]:{gerrit.port} ")
    (home / "config").write_text("Host review\n  HostName 127.0.0.1\n  HostKeyAlias the-gerrit\n")
    enter(found)
    assert accepted.read_text().splitlines()[1].startswith("the-gerrit ")


def test_a_command_may_make_the_connection(gerrit, home, carry):
    (home / "config").write_text(f"Host far-away\n  ProxyCommand {carry} %p\n")
    enter(settings(gerrit, server="far-away", sshkey=gerrit.key_file("ci")))


async def test_the_command_ends_with_the_connection(gerrit, home, carry, tmp_path):
    told = tmp_path / "pid"
    (home / "config").write_text(f"Host far-away\n  ProxyCommand sh -c 'echo $$ >{told}; exec {carry} %p'\n")
    transport = connect(settings(gerrit, server="far-away", sshkey=gerrit.key_file("ci")))
    process = Path(f"/proc/{told.read_text().strip()}")
    assert process.exists()
    transport.close()
    await when(lambda: not process.exists(), "the command's end")


def test_a_command_that_fails_is_no_connection(gerrit, home):
    (home / "config").write_text("Host far-away\n  ProxyCommand false\n")
    with pytest.raises(ConnectionFailedError, match="no SSH session with Gerrit at far-away"):
        connect(settings(gerrit, server="far-away", sshkey=gerrit.key_file("ci")))


@pytest.mark.parametrize(
    ("jump", "command"),
    [
        ("bastion", "ssh -o BatchMode=yes -W '[review]:29418' bastion"),
        ("me@bastion:2222", "ssh -o BatchMode=yes -p 2222 -W '[review]:29418' me@bastion"),
        ("one,two", "ssh -o BatchMode=yes -J one -W '[review]:29418' two"),
        ("none", None),
    ],
)
def test_a_jump_is_the_command_that_openssh_makes_of_it(home, jump, command):
    (home / "config").write_text(f"Host review\n  ProxyJump {jump}\n")
    assert route_to(GerritSettings("gerrit", "review", "ci")).proxy_command == command


def test_what_the_users_file_says_comes_first(home, tmp_path, monkeypatch):
    system = tmp_path / "ssh_config"
    system.write_text("Host review\n  HostName from-the-system\n  HostKeyAlias alias\n")
    monkeypatch.setattr(ssh_config, "FILES", (home / "config", system))
    (home / "config").write_text("Host review\n  HostName from-the-user\n  UnheardOf yes\n")
    found = route_to(GerritSettings("gerrit", "review", "ci"))
    assert (found.host, found.trusted.server, found.trusted.port) == ("from-the-user", "alias", 22)


def test_without_files_the_name_is_the_host():
    assert route_to(GerritSettings("gerrit", "review", "ci")).host == "review"


def test_a_file_that_cannot_be_read_is_one_clear_line(home):
    (home / "config").write_bytes(b"Host \xff\xfe\n")
    with pytest.raises(SshConfigError, match="cannot use the SSH configuration") as problem:
        route_to(GerritSettings("gerrit", "review", "ci"))
    assert "\n" not in str(problem.value)


BLOCKS = [
    "Include {other}\nHost review\n  HostName from-here\n",
    "Host review\n  Include {other}\n  UserKnownHostsFile /here\nHost *\n  HostName from-here\n",
    "Host elsewhere\n  Include {other}\n  HostName wrong\nHost review\n  HostName from-here\n",
    "Host review !elsewhere\n  Include = {other}\nMatch originalhost review\n  Include {other}\nHost *\n  HostName x\n",
    "HostName from-here\nInclude {other} {other}\n",
]
OTHERS = [
    "HostName from-there\n",
    "Host elsewhere\n  HostName wrong\nHost re*\n  HostName from-there\n  UserKnownHostsFile /one \"/two three\"\n",
    "Host elsewhere\n  HostName wrong\n",
    "UserKnownHostsFile /%n/%p%%/%h /two # and no more\n",
    "Include {folder}/*.conf\n",
]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("other", OTHERS)
def test_files_that_are_included_count_as_for_openssh(home, tmp_path, monkeypatch, block, other):
    (tmp_path / "b.conf").write_text("HostName from-b\nUserKnownHostsFile /b\n")
    (tmp_path / "a.conf").write_text("Host x\n  HostName from-a\nHost review\n  UserKnownHostsFile /a\n")
    (tmp_path / "other").write_text(other.format(folder=tmp_path))
    config = home / "config"
    config.write_text(block.format(other=tmp_path / "other"))
    monkeypatch.setattr(ssh_config, "FILES", (config,) * 2)
    found = route_to(GerritSettings("gerrit", "review", "ci"))
    command = ["ssh", "-G", "-F", str(config), "-p", "29418", "-l", "ci", "review"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    told = dict(line.split(" ", 1) for line in listed.stdout.splitlines())
    assert found.host == told["hostname"]
    if "UserKnownHostsFile" in block + other or "/*.conf" in other:
        theirs = told["userknownhostsfile"].replace("%n", "review").replace("%p", "29418").replace("%h", found.host)
        ours = " ".join(map(str, found.users_own))
        assert ours == theirs.replace("%%", "%") or "known_hosts" in theirs


def test_names_in_include_begin_at_the_folder_of_the_configuration(home):
    (home / "config.d").mkdir()
    (home / "config.d" / "gerrit").write_text("Host review\n  HostName from-there\n")
    (home / "config").write_text("Include config.d/* ~/.ssh/missing\n")
    assert route_to(GerritSettings("gerrit", "review", "ci")).host == "from-there"


def test_files_that_include_each_other_are_one_clear_line(home):
    (home / "config").write_text("Include config\n")
    with pytest.raises(SshConfigError, match="included too deep"):
        route_to(GerritSettings("gerrit", "review", "ci"))


def test_a_host_key_may_be_in_the_file_that_the_configuration_names(gerrit, home, tmp_path):
    """For the event stream and for git alike."""
    key = gerrit.host_key
    (tmp_path / "our hosts").write_text(f"[127.0.0.1]:{gerrit.port} {key.get_name()} {key.get_base64()}\n")
    block = "Host review\n  HostName 127.0.0.1\n"
    (home / "config").write_text(f'{block}  UserKnownHostsFile /none "{tmp_path}/our hosts"\n')
    found = settings(gerrit, server="review", sshkey=gerrit.key_file("ci"), host_key_check="yes")
    enter(found)
    command = ssh_variables(replace(found, accepted_hosts=tmp_path / "accepted"))["GIT_SSH_COMMAND"]
    files = f'UserKnownHostsFile="{tmp_path}/accepted" "/none" "{tmp_path}/our hosts"'
    assert files in shlex.split(command)
    (home / "config").write_text(block)
    with pytest.raises(ConnectionFailedError, match="is unknown"):
        connect(found)


def test_a_host_key_of_a_type_that_is_known_is_asked_for(gerrit, tmp_path, monkeypatch):
    """A server has keys of several types: another one than the known one is no change."""
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{gerrit.port} {gerrit.host_key.get_name()} {gerrit.host_key.get_base64()}\n")
    monkeypatch.setattr(connection, "_prefer", asked := Preferring())
    enter(settings(gerrit, sshkey=gerrit.key_file("ci"), known_hosts=known, host_key_check="yes"))
    assert asked.order[0] == gerrit.host_key.get_name()


class Preferring:
    """The real thing, and what it came to."""

    def __init__(self) -> None:
        self._prefer = connection._prefer

    def __call__(self, transport: paramiko.Transport, types) -> None:
        self._prefer(transport, types)
        self.order = transport.get_security_options().key_types


def test_an_rsa_key_is_known_by_the_oldest_name_of_its_type(gerrit, tmp_path):
    rsa = paramiko.RSAKey.generate(2048)
    gerrit.stop()
    gerrit.host_key = rsa
    gerrit.start()
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{gerrit.port} ssh-rsa {rsa.get_base64()}\n")
    found = settings(gerrit, sshkey=gerrit.key_file("ci"), known_hosts=known, host_key_check="yes")
    enter(found)
    known.write_text("")
    with pytest.raises(ConnectionFailedError, match="is unknown"):
        connect(replace(found, port=gerrit.port))
