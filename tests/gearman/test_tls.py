"""Encrypted connections: our server, gear's, and Debian's gearmand behind a TLS proxy, with all of our clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import gear
import pytest
from certificates import Authority, anonymous
from gearman_parts import GEAR, HOST, QUICK, Bench, Embedded, Gear, Gearmand, data, gearmand_is_there, when

from ci_gate.cli.main import main
from ci_gate.daemon.refusals import merger_refusals
from ci_gate.gearman import inquiry
from ci_gate.gearman.functions_offered import OfferedFunctions
from ci_gate.gearman.job_runner import JobRunner
from ci_gate.gearman.job_worker import JobWorker
from ci_gate.gearman.server_process import GearmanServerError, ServerProcess
from ci_gate.job_servers import Address, TlsError, TlsFiles, client_context, server_context
from ci_gate.model.build import Precedence
from ci_gate.model.operations import CommandAnswer
from ci_gate.sandbox.ports import free_port
from ci_gate.worker_connection import GearmanWorker, Job

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command")


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def server_files(authority) -> TlsFiles:
    return authority.issue("server")


@pytest.fixture(scope="module")
def client_files(authority) -> TlsFiles:
    return authority.issue("client")


class ProxiedGearmand:
    """Debian builds gearmand without TLS, whatever its ``--ssl`` says: a proxy in front of it does that part."""

    def __init__(self, files: TlsFiles) -> None:
        self.port = free_port()
        self._tls = server_context(files)
        self._gearmand = Gearmand()
        self._proxy: asyncio.Server | None = None
        self._pumps: set[asyncio.Task] = set()

    async def start(self) -> None:
        await self._gearmand.start()
        self._proxy = await asyncio.start_server(self._serve, HOST, self.port, ssl=self._tls)

    async def stop(self) -> None:
        self._proxy.close()
        for each in self._pumps:
            each.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        await self._gearmand.stop()

    async def _serve(self, reader, writer) -> None:
        inside, to_inside = await asyncio.open_connection(HOST, self._gearmand.port)
        for source, target in ((reader, to_inside), (inside, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)
            pump.add_done_callback(self._pumps.discard)

    async def _pump(self, source, target) -> None:
        try:
            while piece := await source.read(65536):
                target.write(piece)
                await target.drain()
        except OSError:
            return
        finally:
            target.transport.abort()




@pytest.fixture(params=[Embedded, GEAR, pytest.param(ProxiedGearmand, marks=gearmand_is_there)])
async def server(request, server_files):
    made = request.param(server_files)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def there(server, client_files) -> Sequence[Address]:
    return [Address(HOST, server.port, client_context(client_files))]


@contextlib.asynccontextmanager
async def working(servers: Sequence[Address], *functions: str, on_job):
    worker = GearmanWorker(servers, "worker", on_job=on_job, reconnect_s=0.05)
    worker.offer(functions)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def succeed(job: Job) -> None:
    job.data({"name": "unit", "number": 7, "manager": "m", "echo": json.loads(job.arguments).get("FILLER")})
    job.complete({"name": "unit", "number": 7, "manager": "m", "result": "SUCCESS"})


async def test_builds_of_all_sizes_go_out_and_come_back(server, there, client_files, tmp_path):
    sizes = [0, 1, 4083, 4096, 16_384, 16_385, 70_000, 400_000] * 20
    async with working(there, "build:unit", on_job=succeed), Bench(server.port, tmp_path, tls=client_files) as bench:
        launched = {bench.launch(parameters={"FILLER": "x" * size}) for size in sizes}
        await bench.end(len(sizes))
        assert {each.uuid for each in bench.ends} == launched
        assert {each.result for each in bench.ends} == {"SUCCESS"}


async def test_a_running_build_is_stopped_and_a_queued_one_taken_out(server, there, client_files, tmp_path):
    jobs: list[Job] = []
    stops: list[Job] = []
    options = {"tls": client_files, "check_job_registration": False}
    async with (
        working(there, "build:unit", on_job=jobs.append),
        working(there, "stop:jenkins", on_job=stops.append),
        Bench(server.port, tmp_path, **options) as bench,
    ):
        queued = bench.launch("nobodys")
        running = bench.launch()
        await when(lambda: jobs, "the build")
        jobs[0].data(json.loads(data()))
        await when(lambda: bench.updates and bench.launcher.state.counts.queued, "both to be there")
        bench.launcher.cancel(running)
        bench.launcher.cancel(queued)
        await when(lambda: stops, "the stop")
        await when(lambda: not bench.launcher.state.counts.queued, "the queued one to be gone")
        assert json.loads(stops[0].arguments)["number"] == 7


async def test_merges_are_asked_for_and_done(server, there):
    async def shout(body: bytes) -> bytes:
        return body.upper()

    runner, worker = JobRunner(there, reconnect_s=0.05), JobWorker(there, {"shout": shout}, lanes=2, name="test")
    await runner.start()
    task = asyncio.create_task(worker.run())
    try:
        assert await runner.run("shout", b"x" * 100_000, Precedence.NORMAL) == b"X" * 100_000
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await runner.stop()


async def test_operators_functions_are_offered(server, there):
    async def promote(_: object) -> CommandAnswer:
        return CommandAnswer(done=True, lines=(), data=["done"])

    offered, runner = OfferedFunctions(there, {"zuul:promote": promote}), JobRunner(there, reconnect_s=0.05)
    await offered.start()
    await runner.start()
    try:
        assert await runner.run("zuul:promote", b"{}", Precedence.NORMAL) == b'["done"]'
    finally:
        await runner.stop()
        await offered.stop()


async def test_the_server_answers_administrators(server, there):
    async with working(there, "build:unit", on_job=succeed):
        kind, _ = await inquiry.identify(there[0], silence_s=0.5)
        expected = {Embedded: "ci-gate", Gear: "gear", ProxiedGearmand: "gearmand"}
        assert kind.value == expected[type(server)]
        ends_at = asyncio.get_running_loop().time() + 10
        while "build:unit" not in await inquiry.registered_functions(there[0]):
            assert asyncio.get_running_loop().time() < ends_at


async def test_the_restart_of_an_encrypted_server_is_survived(server, there, client_files, tmp_path):
    async with working(there, "build:unit", on_job=succeed), Bench(server.port, tmp_path, tls=client_files) as bench:
        bench.launch()
        await bench.end()
        await server.stop()
        await server.start()
        bench.launch()
        assert (await bench.end(2)).result in {"SUCCESS", None}


@gearmand_is_there
async def test_debians_gearmand_speaks_in_the_clear_whatever_it_is_told(server_files):
    """Why the proxy is needed, here and at sites (docs/operating.md); once this fails, that text is out of date."""
    gearmand = Gearmand("--ssl", f"--ssl-key={server_files.key}", f"--ssl-certificate={server_files.cert}")
    await gearmand.start()
    try:
        kind, _ = await inquiry.identify(Address(HOST, gearmand.port), silence_s=QUICK.identify)
        assert kind is inquiry.ServerKind.GEARMAND
    finally:
        await gearmand.stop()


async def test_gears_own_worker_with_its_three_files_is_served_by_ours(server_files, client_files, tmp_path):
    """As Zuul's mergers connect, when they move one by one."""
    server = Embedded(server_files)
    await server.start()
    worker = gear.Worker("peer")
    worker.addServer(HOST, server.port, str(client_files.key), str(client_files.cert), str(client_files.ca))
    await asyncio.to_thread(worker.waitForServer, 10)
    worker.registerFunction("build:unit")
    try:
        async with Bench(server.port, tmp_path, tls=client_files) as bench:
            bench.launch()
            job = await asyncio.to_thread(worker.getJob)
            job.sendWorkComplete(data(result="SUCCESS"))
            assert (await bench.end()).result == "SUCCESS"
    finally:
        await asyncio.to_thread(worker.shutdown)
        await server.stop()


# Who is refused


@pytest.fixture
async def ours(server_files):
    made = Embedded(server_files)
    await made.start()
    yield made
    await made.stop()


async def test_a_client_of_another_authority_is_refused_and_told_why(ours, authority, tmp_path):
    stranger = replace(Authority(tmp_path / "other", "other").issue("stranger"), ca=authority.ca)
    async with Bench(ours.port, tmp_path, tls=stranger) as bench:
        bench.launch()
        await when(lambda: "alert unknown ca" in bench.launcher.state.detail, "the reason")
        assert bench.ends == []


async def test_a_client_does_not_talk_to_a_server_of_another_authority(ours, client_files, tmp_path):
    elsewhere = replace(client_files, ca=Authority(tmp_path / "other", "other").ca)
    async with Bench(ours.port, tmp_path, tls=elsewhere) as bench:
        await when(lambda: "certificate verify failed" in bench.launcher.state.detail, "the reason")
        assert not bench.launcher.state.connected


async def test_whoever_shows_no_certificate_gets_no_answer(ours, client_files):
    with pytest.raises((OSError, asyncio.IncompleteReadError)):  # noqa: PT012  # either may tell first
        reader, writer = await asyncio.open_connection(HOST, ours.port, ssl=anonymous(client_files))
        writer.write(b"version\n")
        await reader.readuntil(b"\n")


async def test_silent_and_plain_peers_keep_nobody_out(ours, client_files, tmp_path):
    silent = [socket.create_connection((HOST, ours.port)) for _ in range(20)]
    plain = socket.create_connection((HOST, ours.port))
    plain.settimeout(10)
    plain.sendall(b"version\n" * 10)
    try:
        there = [Address(HOST, ours.port, client_context(client_files))]
        async with working(there, "build:unit", on_job=succeed), Bench(ours.port, tmp_path, tls=client_files) as bench:
            bench.launch()
            assert (await bench.end()).result == "SUCCESS"
        answer = await asyncio.to_thread(plain.recv, 100)
        assert not answer.startswith(b"OK"), "an alert, or nothing, but no answer in the clear"
    finally:
        for each in (*silent, plain):
            each.close()


# What is said at the start


def broken(kind: str, files: TlsFiles, authority: Authority, folder) -> tuple[TlsFiles, str]:
    """Files that cannot be used, and what has to be said about them."""
    if kind == "missing":
        gone = folder / "gone.pem"
        return replace(files, cert=gone), f"ssl_cert: {gone} cannot be read: No such file or directory"
    if kind == "a folder":
        return replace(files, key=folder), f"ssl_key: {folder} cannot be read: Is a directory"
    if kind == "of another":
        other = authority.issue("other")
        return replace(files, key=other.key), f"ssl_key: {other.key} is not the key of the certificate {files.cert}"
    if kind == "with a passphrase":
        locked = authority.issue("locked", passphrase="very secret")
        return locked, "the key without a passphrase"
    if kind == "no certificate":
        (folder / "text.pem").write_text("hello\n")
        return replace(files, cert=folder / "text.pem"), "have to be a certificate and its key in PEM format"
    (folder / "text.pem").write_text("hello\n")
    return replace(files, ca=folder / "text.pem"), f"ssl_ca: {folder}/text.pem has no certificate in PEM format"


KINDS = ["missing", "a folder", "of another", "with a passphrase", "no certificate", "no authority"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", [client_context, server_context])
def test_files_that_cannot_be_used_are_one_clear_line(kind, make, client_files, authority, tmp_path):
    files, text = broken(kind, client_files, authority, tmp_path)
    with pytest.raises(TlsError) as refused:
        make(files)
    assert str(refused.value).startswith("[gearman] ssl_")
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_the_built_in_server_says_why_it_does_not_start(client_files, tmp_path):
    files = replace(client_files, cert=tmp_path / "gone", section="gearman_server")
    with pytest.raises(GearmanServerError, match=r"\[gearman_server\] ssl_cert: .*gone cannot be read"):
        await Embedded(files).start()


def configuration(folder, files: TlsFiles, port: int, *more: str) -> str:
    text = f"[gearman]\nserver={HOST}\nport={port}\nssl_key={files.key}\nssl_cert={files.cert}\nssl_ca={files.ca}\n"
    (folder / "layout.yaml").write_text("pipelines: []\nprojects: []\n")
    (folder / "ci.conf").write_text("\n".join((text, *more)))
    return str(folder / "ci.conf")


@pytest.mark.parametrize(
    ("command", "more"),
    [
        (["worker", "--job", "unit=true", "--folder", "{}/worker"], ""),
        (["jenkins"], "[jenkins main]\nurl=http://127.0.0.1:1/\n"),
        (["merger"], "[merger]\nzuul_url=http://h/p\ngit_dir={}/git\n[zuul]\nstate_dir={}/state\n"),
        (
            ["serve"],
            "[zuul]\nlayout_config={}/layout.yaml\nstate_dir={}/state\n[merger]\ngit_dir={}/git\n[gerrit]\nserver=h\nuser=u\n",
        ),
    ],
)
def test_no_process_starts_without_its_certificates(command, more, client_files, tmp_path, capsys):
    files = replace(client_files, ca=tmp_path / "gone")
    path = configuration(tmp_path, files, free_port(), more.replace("{}", str(tmp_path)))
    assert main([*(each.replace("{}", str(tmp_path)) for each in command), "--config", path]) == 1
    assert f"cannot start: [gearman] ssl_ca: {tmp_path}/gone cannot be read" in capsys.readouterr().err


def test_the_servers_own_certificates_are_looked_at_before_it_starts(client_files, tmp_path):
    gone = replace(client_files, key=tmp_path / "gone", section="gearman_server")
    settings = SimpleNamespace(
        gerrits=(),
        gearman=SimpleNamespace(tls=None),
        gearman_server=SimpleNamespace(start=True, tls=gone),
        state_dir=tmp_path,
        merger=SimpleNamespace(embedded=False),
    )
    assert merger_refusals(settings) == [
        f"[gearman_server] ssl_key: {tmp_path}/gone cannot be read: No such file or directory"
    ]


async def test_validate_asks_with_the_certificates_of_the_configuration(ours, client_files, tmp_path, capsys):
    more = f"[zuul]\nlayout_config={tmp_path}/layout.yaml\n[gerrit]\nserver=h\nuser=u\n"
    path = configuration(tmp_path, client_files, ours.port, more)
    assert await asyncio.to_thread(main, ["validate", "--gearman", "-c", path]) == 0
    assert await asyncio.to_thread(main, ["validate", "--gearman", f"{HOST}:{ours.port}", "-c", path]) == 0


async def test_the_server_as_a_process_of_its_own_reads_its_certificates(server_files, client_files, tmp_path):
    server = ServerProcess(Embedded(server_files)._settings, 0)
    await server.start()
    try:
        address = Address(HOST, server.port, client_context(client_files))
        assert (await inquiry.identify(address, silence_s=QUICK.identify))[0] is inquiry.ServerKind.OURS
    finally:
        await server.stop()
