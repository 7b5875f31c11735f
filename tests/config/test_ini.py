"""The INI dialect of Python 2.7, as zuul.conf files are written (ci-conf.md 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_gate.config.ini import parse
from ci_gate.config.problems import Level


def value(line: str, key: str = "x") -> str:
    ini = parse(f"[s]\n{line}\n", "f")
    assert not [each for each in ini.problems if each.level is Level.ERROR]
    return ini.get("s", key).text


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("x=1", "1"),
        ("x = 1 ", "1"),
        ("x: 1", "1"),
        ("X=1", "1"),
        ('x="q"', '"q"'),
        ('x=""', ""),
        ("x=", ""),
        ("x=value ; comment", "value"),
        ("x=1;c", "1;c"),
        ("x=1 # c", "1 # c"),
        ("x=a=b", "a=b"),
        ("x=100%", "100%"),
        ("x=%s %%", "%s %%"),
        ("x=a\n  b\n\tc", "a\nb\nc"),
        ("x=http://h/{build.parameters[LOG_PATH]}", "http://h/{build.parameters[LOG_PATH]}"),
    ],
)
def test_a_value_is_what_python_2_read(line, text):
    assert value(line) == text


@pytest.mark.parametrize("comment", ["# c", "; c", "rem c", "REM c"])
def test_comment_lines_are_no_keys(comment):
    ini = parse(f"[s]\n{comment}\nx=1\n", "f")
    assert list(ini.sections["s"].values) == ["x"]
    assert ini.problems == []


def test_sections_are_case_sensitive_keys_are_not():
    ini = parse("[Gerrit]\nServer=a\n", "f")
    assert ini.get("gerrit", "server") is None
    assert ini.get("Gerrit", "server").text == "a"


def test_the_same_section_twice_is_one_and_the_last_value_wins():
    ini = parse("[s]\nx=1\n[t]\ny=2\n[s]\nx=3\nz=4\n", "f")
    assert (ini.get("s", "x").text, ini.get("s", "z").text) == ("3", "4")
    (notice,) = ini.problems
    assert (notice.level, notice.line) == (Level.NOTICE, 6)
    assert "line 2 is ignored" in notice.text


def test_defaults_are_seen_in_every_section():
    ini = parse("[DEFAULT]\nuser=ci\n[connection a]\nserver=h\n", "f")
    assert ini.get("connection a", "user").text == "ci"
    assert list(ini.sections) == ["connection a"]


def test_a_field_is_replaced_by_another_key_of_its_section_or_the_defaults():
    assert value("base=/var\nx=%(base)s/git %%") == "/var/git %"
    ini = parse("[DEFAULT]\nbase=/srv\n[s]\nx=%(BASE)s/git\n", "f")
    assert ini.get("s", "x").text == "/srv/git"


def test_a_field_of_a_default_is_filled_in_for_each_section_anew():
    ini = parse("[DEFAULT]\nbase=/d\ngit=%(base)s/git\nurl=http://%(host)s/p\n[a]\nbase=/a\nhost=h\n[b]\n", "f")
    assert ini.get("a", "git").text == "/a/git"
    assert ini.get("b", "git").text == "/d/git"
    assert ini.get("a", "url").text == "http://h/p"
    assert ini.problems == []


def test_a_default_that_a_section_cannot_fill_in_is_wrong_where_it_is_wanted():
    ini = parse("[DEFAULT]\nurl=http://%(host)s/p\n[a]\nhost=h\n[b]\n", "f")
    ini.get("b", "url")
    ini.get("b", "url")
    assert [str(each) for each in ini.problems] == [
        "f:2: error: [b] url: %(host)s names no key of this section or [DEFAULT]"
    ]


def test_a_default_that_nothing_can_fill_in_is_wrong_at_once():
    (problem,) = parse("[DEFAULT]\nurl=http://%(host)s/p\n[a]\nx=1\n", "f").problems
    assert (problem.level, problem.line) == (Level.ERROR, 2)
    assert "[DEFAULT] url: %(host)s" in problem.text


@pytest.mark.parametrize("text", ["%(nothing)s", "%(x)s", "%(y"])
def test_a_field_that_names_nothing_is_an_error_with_its_place(text):
    ini = parse(f"[s]\n\nx={text}\n", "f")
    (problem,) = ini.problems
    assert (problem.level, problem.line) == (Level.ERROR, 3)
    assert "[s] x" in problem.text


@pytest.mark.parametrize(("text", "line"), [("x=1\n", 1), ("[s]\nwhat is this\n", 2), ("[s]\nx=1\n=3\n", 3)])
def test_what_is_no_ini_is_an_error_with_its_line(text, line):
    (problem,) = parse(text, "f").problems
    assert (problem.level, problem.line) == (Level.ERROR, line)


def test_a_byte_order_mark_and_windows_line_ends_are_nothing():
    assert parse("\ufeff[s]\r\nx=1\r\n", "f").get("s", "x").text == "1"


def test_every_value_knows_its_line():
    ini = parse("# a\n[s]\n\nx=1\ny=2\n  more\nz=3\n", "f")
    assert [ini.get("s", key).line for key in "xyz"] == [4, 5, 7]


@given(st.text(alphabet="[]=:;#% ()sxrem\n\t\\", max_size=200))
def test_nothing_makes_it_raise(text):
    parse(text, "f")


@pytest.mark.parametrize(
    "text", ["password SECRET\n", "[s]\npassword SECRET\n", "password=SECRET\n", "password: SECRET\n[s]\nx SECRET\n"]
)
def test_of_a_line_that_is_none_only_the_first_word_is_told(text):
    told = [each.text for each in parse(text, "f").problems]
    assert told
    assert all("SECRET'" not in each and " SECRET" not in each and "=SECRET" not in each for each in told)


def test_only_line_ends_end_lines():
    ini = parse("[s]\nx=a\x85b\u2028c\x0bd\ny=1\n", "f")
    assert ini.get("s", "x").text == "a\x85b\u2028c\x0bd"
    assert ini.get("s", "y").line == 3
