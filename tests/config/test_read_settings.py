"""zuul.conf and ci.conf as settings, with everything that can be wrong with them (ci-conf.md)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from ci_gate.config import settings_schema as schema
from ci_gate.config.problems import Level, RefusedError
from ci_gate.config.read_settings import find_settings_file, read_settings
from ci_gate.config.settings import GerritSettings, SmtpSettings, SqlSettings

OF_ZUUL_2_0 = """[gearman]
server=127.0.0.1
[gearman_server]
start=true
[gerrit]
server=review.example.org
user=ci
sshkey=/var/lib/ci/.ssh/id_rsa
[zuul]
layout_config=/etc/zuul/layout.yaml
state_dir=/var/lib/zuul
git_dir=/var/lib/zuul/git
zuul_url=http://ci.example.org/p
push_change_refs=false
url_pattern=http://logs.example.org/{job.name}/{build.number}/{change.number}
job_name_in_report=true
[smtp]
server=mail.example.org
"""
OF_ZUUL_2_6 = """[gearman]
server=127.0.0.1
check_job_registration=false
[gearman_server]
start=true
listen_address=127.0.0.1
[webapp]
port=8081
[zuul]
layout_config=~/ci/layout.yaml
status_url=http://ci.example.org/
[merger]
zuul_url=http://ci.example.org/p
git_user_email=ci@example.org
git_user_name=ci
[connection review]
driver=gerrit
server=review.example.org
user=ci
strip_branch_ref=1
[connection mail]
driver=smtp
default_from=ci@example.org
[connection results]
driver=sql
dburi=sqlite:///results.db
"""
SMALL = """[gearman]
server=127.0.0.1
[gerrit]
server=review.example.org
user=ci
[zuul]
layout_config=/etc/layout.yaml
[merger]
zuul_url=http://ci.example.org/p
"""


def test_a_folder_that_may_not_be_looked_into_is_told_or_passed_over(tmp_path, monkeypatch):
    locked, home = tmp_path / "locked" / "zuul.conf", tmp_path / "zuul.conf"
    home.touch()
    real = Path.is_file

    def is_file(path):
        if path == locked:
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    monkeypatch.setattr("ci_gate.config.read_settings.PLACES", (locked, home))
    assert find_settings_file(None) == home
    with pytest.raises(RefusedError, match=r"locked/zuul\.conf: error: cannot be read: Permission denied"):
        find_settings_file(str(locked))


@pytest.fixture
def read(tmp_path):
    path = tmp_path / "ci.conf"

    def read_text(text: str):
        path.write_text(text, encoding="utf-8")
        return read_settings(path)

    read_text.path = path
    return read_text


def errors(read, text: str) -> list[str]:
    """The errors without the file's name: ``12: [gearman] port: …``."""
    with pytest.raises(RefusedError) as refused:
        read(text)
    shown = [each for each in refused.value.problems if each.level is Level.ERROR]
    return [str(each).removeprefix(f"{read.path}").removeprefix(":").replace(" error: ", " ", 1) for each in shown]


def notices(read, text: str) -> list[str]:
    return [f"{each.line}: {each.text}" for each in read(text)[1]]


def test_a_file_of_zuul_2_0_is_read_as_it_stands(read):
    settings, problems = read(OF_ZUUL_2_0)
    assert settings.layout_config == Path("/etc/zuul/layout.yaml")
    assert settings.state_dir == Path("/var/lib/zuul")
    assert settings.gearman_server.start
    assert settings.gearman.server == "127.0.0.1"
    assert settings.connections == {
        "gerrit": GerritSettings(
            "gerrit",
            "review.example.org",
            "ci",
            sshkey=Path("/var/lib/ci/.ssh/id_rsa"),
            baseurl="https://review.example.org",
            accepted_hosts=Path("/var/lib/zuul/known_hosts"),
        ),
        "smtp": SmtpSettings("smtp", "mail.example.org"),
    }
    assert settings.merger.git_dir == Path("/var/lib/zuul/git")
    assert settings.merger.zuul_url == "http://ci.example.org/p"
    assert settings.merger.embedded
    assert settings.scheduler.job_name_in_report
    assert settings.scheduler.url_pattern == "http://logs.example.org/{job.name}/{build.number}/{change.number}"
    assert [str(each.level) for each in problems] == ["notice", "notice"]
    assert settings.drivers == {"gerrit": "gerrit", "smtp": "smtp"}


def test_a_file_of_zuul_2_6_is_read_as_it_stands(read):
    settings, problems = read(OF_ZUUL_2_6)
    assert settings.layout_config == Path("~/ci/layout.yaml").expanduser()
    assert not settings.gearman.check_job_registration
    assert settings.gearman_server.listen_address == "127.0.0.1"
    assert settings.web.port == 8081
    assert settings.merger.git_user_email == "ci@example.org"
    assert settings.connections["review"].strip_branch_ref
    assert settings.connections["mail"] == SmtpSettings("mail", default_from="ci@example.org")
    assert settings.connections["results"] == SqlSettings("results", "sqlite:///results.db")
    assert problems == ()


def test_the_example_is_without_errors():
    settings, _ = read_settings(Path(__file__).parent.parent.parent / "etc" / "ci.conf")
    assert settings.gearman_server.start
    assert settings.web.listen_address == "0.0.0.0"


def test_everything_else_has_its_default(read):
    settings, _ = read(SMALL)
    assert (settings.web.listen_address, settings.web.port, settings.web.status_expiry_s) == ("0.0.0.0", 8001, 1)
    assert (settings.gearman.port, settings.gearman.check_job_registration) == (4730, True)
    assert not settings.gearman_server.start
    (gerrit,) = settings.gerrits
    assert (gerrit.port, gerrit.keepalive_s, gerrit.event_delay_s, gerrit.stream_timeout_s) == (29418, 60, 10, 180)
    assert (gerrit.host_key_check, gerrit.max_ssh_channels) == ("accept-new", 4)
    assert settings.scheduler.report_times
    assert settings.merger.ref_retention_s == 14 * 86400


def test_posts_in_the_place_of_a_stream_need_a_secret_that_is_not_shown(read):
    secret = "0123456789abcdef"
    text = SMALL.replace("[gerrit]", f"[gerrit]\nstream=webhooks\nwebhook_secret={secret}\nreconcile_interval=0")
    settings, _ = read(text)
    (gerrit,) = settings.gerrits
    assert (gerrit.stream, gerrit.webhook_secret) == ("webhooks", secret)
    assert secret not in repr(settings)
    assert any("posts that are lost" in each for each in notices(read, text))
    unused = text.replace("stream=webhooks\n", "")
    assert any("webhook_secret: unused" in each for each in notices(read, unused))


@pytest.mark.parametrize("word", ["1", "yes", "TRUE", "On"])
def test_true_has_four_words(read, word):
    assert read(SMALL.replace("[zuul]", f"[zuul]\njob_name_in_report={word}"))[0].scheduler.job_name_in_report


@pytest.mark.parametrize(
    ("line", "section", "problem"),
    [
        ("port=473O", "gearman", '[gearman] port: "473O" is not a whole number'),
        ("port=0", "gearman", '[gearman] port: "0" is not from 1 to 65535'),
        ("report_times=maybe", "zuul", '[zuul] report_times: "maybe" is not a boolean; use true or false'),
        ("report_times=", "zuul", '[zuul] report_times: "" is not a boolean; use true or false'),
        ("ref_retention=1.5d", "merger", '[merger] ref_retention: "1.5d" is not a time'),
        ("host_key_check=maybe", "gerrit", '[gerrit] host_key_check: "maybe" is not allowed; use one of yes'),
        ("keepalive=x", "gerrit", '[gerrit] keepalive: "x" is not a whole number'),
        ("max_ssh_channels=0", "gerrit", '[gerrit] max_ssh_channels: "0" is not from 1 to 64'),
        (
            "password=secret\nbaseurl=http://review.example.org",
            "gerrit",
            "[gerrit] password: it would travel in the clear",
        ),
        ("stream=post", "gerrit", '[gerrit] stream: "post" is not allowed; use one of ssh'),
        ("stream=webhooks", "gerrit", "[gerrit] webhook_secret is missing"),
        ("webhook_secret=short\nstream=webhooks", "gerrit", "[gerrit] webhook_secret: it can be guessed"),
    ],
)
def test_a_bad_value_is_an_error_at_its_line(read, line, section, problem):
    text = SMALL.replace(f"[{section}]", f"[{section}]\n{line}")
    number = text.splitlines().index(line.splitlines()[0]) + 1
    (error,) = errors(read, text)
    assert error.startswith(f"{number}: {problem}")


def test_all_errors_are_told_at_once(read):
    text = SMALL.replace("user=ci\n", "port=x\n").replace("layout_config=/etc/layout.yaml\n", "report_times=x\n")
    assert len(errors(read, text)) == 4


@pytest.mark.parametrize(
    ("gone", "problem"),
    [
        ("server=127.0.0.1\n", "[gearman] server is missing"),
        ("layout_config=/etc/layout.yaml\n", "[zuul] layout_config is missing"),
        ("user=ci\n", "[gerrit] user is missing"),
    ],
)
def test_what_is_required_is_named_with_what_to_do(read, gone, problem):
    (error,) = errors(read, SMALL.replace(gone, ""))
    assert problem in error
    assert "set it to" in error


def test_without_any_gerrit_there_is_nothing_to_do(read):
    (error,) = errors(read, SMALL.replace("[gerrit]\nserver=review.example.org\nuser=ci\n", ""))
    assert "at least one Gerrit connection is needed" in error


@pytest.mark.parametrize("line", ["state_dir=somewhere", "[gearman_server]\nstart=maybe"])
def test_whatever_else_is_told_without_any_gerrit_that_is_told_too(read, line):
    without = SMALL.replace("[gerrit]\nserver=review.example.org\nuser=ci\n", "").replace(
        "[merger]", f"{line}\n[merger]"
    )
    assert any("at least one Gerrit connection is needed" in each for each in errors(read, without))


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ("[connection x]\nserver=h\n", "driver is missing; known drivers: gerrit, smtp, sql"),
        ("[connection x]\ndriver=github\n", 'unknown driver "github"'),
        ("[connection x]\ndriver=Gerrit\n", 'unknown driver "Gerrit"; did you mean gerrit?'),
        ("[connection ]\ndriver=smtp\n", "a connection needs a name"),
        ("[connection timer]\ndriver=smtp\n", "timer is the name of a built-in trigger"),
        ("[connection x]\ndriver=sql\n", "dburi is missing"),
        ("[connection x]\ndriver=sql\ndburi=results.db\n", "dburi: not an address as SQLAlchemy writes it, such as "),
        ("[connection x]\ndriver=sql\ndburi=mysql://u:p@h:x/d\n", "dburi: not an address as SQLAlchemy writes it"),
        ("[swift]\nsend-temp-url-key=perhaps\n", 'Send-Temp-Url-Key: "perhaps" is not a boolean'.lower()),
        ("[swift]\ndefault_expiry=2h\n", 'default_expiry: "2h" is not a whole number'),
        ("[connection x]\ndriver=gerrit\nuser=u\n", "server is missing"),
    ],
)
def test_a_connection_that_cannot_be_is_an_error(read, section, problem):
    (error,) = errors(read, SMALL + section)
    assert problem in error


@pytest.mark.parametrize(
    "dburi",
    [
        "sqlite:///results.db",
        "sqlite:////var/lib/results.db",
        "sqlite://",
        "postgresql://h",
        "postgresql:///d?host=/var/run/postgresql",
        "postgresql+psycopg2://u:p@[::1]:5432/d",
        "mysql+pymysql://u:p/:#x@h:3306/d?charset=utf8",
    ],
)
def test_a_database_is_addressed_as_sqlalchemy_does(read, dburi):
    settings, problems = read(f"{SMALL}[connection x]\ndriver=sql\ndburi={dburi}\n")
    assert settings.connections["x"] == SqlSettings("x", dburi)
    assert not problems
    make_url(dburi)


def test_names_of_connections_lose_their_quotes_and_keep_their_blanks(read):
    text = SMALL + '[CONNECTION "my gerrit"]\ndriver=gerrit\nserver=h\nuser=u\n'
    assert list(read(text)[0].connections) == ["my gerrit", "gerrit"]


def test_the_new_form_of_a_connection_wins_over_the_old_one(read):
    text = SMALL + "[connection gerrit]\ndriver=gerrit\nserver=new\nuser=u\n"
    settings, problems = read(text)
    assert settings.connections["gerrit"].server == "new"
    assert any("[gerrit]: ignored" in each.text for each in problems)


@pytest.mark.parametrize(
    ("line", "section", "notice"),
    [
        ("git_dirr=/x", "merger", "[merger] git_dirr: unknown key, ignored; did you mean git_dir?"),
        ("zzz=1", "zuul", "[zuul] zzz: unknown key, ignored"),
        ("strip_branch_ref=false", "gerrit", "[gerrit] strip_branch_ref: off; Zuul 2.6 would have treated this as on"),
        ("state_dir=state", "zuul", "[zuul] state_dir: relative path, taken as "),
        ("push_change_refs=true", "zuul", "[zuul] push_change_refs: ci-gate serves merged refs over HTTP"),
        ("url_pattern=http://l/{change.nr}", "zuul", "[zuul] url_pattern: {change.nr}: there is no nr, only number"),
        ("url_pattern=http://l/{x", "zuul", "[zuul] url_pattern: expected '}' before end of string; it can never be"),
        ("zuul_url=http://old/p", "zuul", "[zuul] zuul_url: ignored, since [merger] has it too"),
    ],
)
def test_what_works_differently_is_told_in_one_line(read, line, section, notice):
    text = SMALL.replace(f"[{section}]", f"[{section}]\n{line}")
    number = text.splitlines().index(line) + 1
    (told,) = notices(read, text)
    assert told.startswith(f"{number}: {notice}")


def test_unknown_sections_are_no_errors(read):
    told = notices(read, SMALL + "[gearmann]\nx=1\n[launcher]\nx=1\n[site logs]\nhost=h\n[jenkins]\nserver=j\n")
    assert [each.partition(": ")[2][:40] for each in told] == [
        "unknown section [gearmann]; did you mean [gearman]?"[:40],
        "[launcher]: sections of zuul-launcher are accepted"[:40],
        "[jenkins]: of Zuul 1, without effect; builds go over Gearman now, or over HTTP by [jenkins NAME]"[:40],
    ]
    assert told[-1].endswith("builds go over Gearman now, or over HTTP by [jenkins NAME]")


@pytest.mark.parametrize(
    ("section", "meant"),
    [
        ("conection review", "connection review"),
        ("connections gerrit", "connection gerrit"),
        ("connection", "connection NAME"),
        ("jenkns main", "jenkins main"),
        ("lancher", "launcher"),
    ],
)
def test_of_an_unknown_section_the_nearest_known_one_is_told(read, section, meant):
    assert notices(read, f"{SMALL}[{section}]\n") == [f"10: unknown section [{section}]; did you mean [{meant}]?"]


def test_a_site_whose_mergers_run_elsewhere_is_told_so(read):
    settings, problems = read(SMALL.replace("zuul_url=http://ci.example.org/p\n", ""))
    assert not settings.merger.embedded
    assert any("mergers must run elsewhere" in each.text for each in problems)


def test_a_repository_of_its_own_gearman_server_needs_no_address(read):
    settings, _ = read(SMALL.replace("[gearman]\nserver=127.0.0.1\n", "[gearman_server]\nstart=true\n"))
    assert settings.gearman.server == "127.0.0.1"


def test_secrets_are_in_no_text(read):
    text = SMALL.replace("[gerrit]", "[gerrit]\npassword=hunter2\nport=x")
    text += "[connection r]\ndriver=sql\ndburi=mysql://u:hunter2@h/d\n[swift]\nkey=hunter2\n"
    assert "hunter2" not in "".join(errors(read, text.replace("@h/d", "@h:port/d")))
    assert "hunter2" not in "".join(errors(read, text))
    settings, problems = read(text.replace("port=x\n", ""))
    assert "hunter2" not in repr(settings) + repr(problems)


@pytest.mark.parametrize(("data", "line"), [(b"\xff\xfe[zuul]", 1), (b"[zuul]\nlayout_config=\xe4\n", 2)])
def test_a_file_in_another_encoding_is_refused(tmp_path, data, line):
    path = tmp_path / "ci.conf"
    path.write_bytes(data)
    with pytest.raises(RefusedError, match=f"a character on line {line} is not UTF-8"):
        read_settings(path)


def test_a_named_file_must_be_there(tmp_path):
    with pytest.raises(RefusedError, match="there is no such configuration file"):
        find_settings_file(str(tmp_path / "none.conf"))


def test_without_a_name_the_first_of_three_places_is_taken(tmp_path, monkeypatch):
    places = [tmp_path / name for name in ("ci.conf", "zuul.conf", "home.conf")]
    monkeypatch.setattr("ci_gate.config.read_settings.PLACES", tuple(places))
    with pytest.raises(RefusedError) as refused:
        find_settings_file(None)
    assert all(str(each) in str(refused.value) for each in places)
    places[2].write_text(SMALL)
    assert find_settings_file(None) == places[2]
    places[1].write_text(SMALL)
    assert find_settings_file(None) == places[1]


def test_a_folder_of_nobody_is_told(read):
    with pytest.raises(RefusedError) as refused:
        read(SMALL + "[zuul]\nlayout_config=~nobody-such/layout.yaml\n")
    assert [each.text for each in refused.value.problems if each.level is Level.ERROR] == [
        "[zuul] layout_config: there is no user whose home ~nobody-such/layout.yaml could be under"
    ]


def test_a_file_of_nobody_does_not_exist():
    with pytest.raises(RefusedError, match="there is no such configuration file"):
        find_settings_file("~nobody-such/ci.conf")


KEYS = sorted({key for table in schema.SECTIONS.values() for key in table})


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(schema.SECTIONS)), st.sampled_from(KEYS), st.text(max_size=12)), max_size=12
    )
)
@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_stands_in_a_file_it_is_read_or_refused(read, lines):
    text = "".join(f"[{section}]\n{key}={value}\n" for section, key, value in lines)
    problems = None
    try:
        read(SMALL + text)
    except RefusedError as refused:
        problems = refused.problems
    assert problems is None or any(each.level is Level.ERROR for each in problems)
