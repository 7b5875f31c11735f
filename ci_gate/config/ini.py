"""The INI dialect of zuul.conf, with the line of every value (``spec/ci-conf.md`` 2).

It is that of Python 2.7's ConfigParser, which today's differs from: inline ``;`` comments, repeated sections and keys,
lone ``%``, lines that begin with ``rem``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ci_gate.config.problems import Level, Problem

DEFAULT = "DEFAULT"
DEEPEST_SUBSTITUTION = 10

SECTION = re.compile(r"\[(?P<name>[^]]+)\]")
OPTION = re.compile(r"(?P<key>[^:=\s][^:=]*)\s*[:=]\s*(?P<value>.*)$")
FIELD = re.compile(r"%\(([^)]*)\)s")


@dataclass(frozen=True, slots=True)
class Value:
    text: str
    line: int


@dataclass(slots=True)
class Section:
    """``values`` by key, in lower case. ``line`` is that of its first heading."""

    name: str
    line: int
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class Ini:
    """A file as it was read. Sections in order, without ``[DEFAULT]``, whose values are in ``defaults``."""

    sections: dict[str, Section]
    defaults: Mapping[str, Value]
    problems: list[Problem]

    def get(self, section: str, key: str) -> Value | None:
        """A value as written, from its section or else from ``[DEFAULT]``."""
        found = self.sections.get(section)
        if found is None:
            return None
        return found.values.get(key) or self.defaults.get(key)


def parse(text: str, file: str) -> Ini:
    """Never raises: what cannot be understood is among the problems."""
    reader = _Reader(file)
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        reader.take(number, line)
    return reader.finish()


class _Reader:
    def __init__(self, file: str) -> None:
        self._file = file
        self._problems: list[Problem] = []
        self._sections: dict[str, Section] = {DEFAULT: Section(DEFAULT, 0)}
        self._section: Section | None = None
        self._key: str | None = None

    def take(self, number: int, line: str) -> None:
        if not line.strip() or line[0] in "#;" or re.match(r"rem(\s|$)", line, re.IGNORECASE):
            return
        if line[0].isspace() and self._section is not None and self._key is not None:
            old = self._section.values[self._key]
            self._section.values[self._key] = Value(f"{old.text}\n{line.strip()}", old.line)
        elif heading := SECTION.match(line):
            self._open(heading["name"], number)
        elif self._section is None:
            self._problem(number, Level.ERROR, f"{_shown(line)} stands before the first [section]")
        elif option := OPTION.match(line):
            self._set(option["key"].rstrip().lower(), _without_comment(option["value"]), number)
        else:
            self._problem(number, Level.ERROR, f"{_shown(line)} is neither a [section] nor key=value")

    def finish(self) -> Ini:
        defaults = self._sections.pop(DEFAULT)
        for section in [defaults, *self._sections.values()]:
            for key, value in section.values.items():
                section.values[key] = self._substituted(section, defaults, key, value)
        return Ini(self._sections, defaults.values, self._problems)

    def _open(self, name: str, number: int) -> None:
        self._key = None
        self._section = self._sections.setdefault(name, Section(name, number))

    def _set(self, key: str, text: str, number: int) -> None:
        if self._section is None:
            return
        old = self._section.values.get(key)
        if old is not None:
            text_ = f"[{self._section.name}] {key}: given again; the value on line {old.line} is ignored"
            self._problem(number, Level.NOTICE, text_)
        self._section.values[key] = Value(text, number)
        self._key = key

    def _substituted(self, section: Section, defaults: Section, key: str, value: Value) -> Value:
        """``%(other)s`` by that key's value; only then is ``%%`` a single one."""
        text = value.text
        for _ in range(DEEPEST_SUBSTITUTION):
            if "%(" not in text:
                break
            names = [match[1].lower() for match in FIELD.finditer(text)]
            unknown = [name for name in names if name not in section.values and name not in defaults.values]
            if unknown or not names:
                what = f"%({unknown[0]})s names no key" if unknown else "%( is not closed by )s"
                self._problem(value.line, Level.ERROR, f"[{section.name}] {key}: {what} of this section or [DEFAULT]")
                return value
            known = {name: (section.values.get(name) or defaults.values[name]).text for name in names}
            for name, replacement in known.items():
                text = re.sub(rf"%\({re.escape(name)}\)s", replacement.replace("\\", r"\\"), text, flags=re.IGNORECASE)
            text = text.replace("%%", "%")
        else:
            self._problem(value.line, Level.ERROR, f"[{section.name}] {key}: %(…)s goes round in circles")
        return Value(text, value.line)

    def _problem(self, number: int, level: Level, text: str) -> None:
        self._problems.append(Problem(self._file, number, 0, level, text))


def _shown(line: str) -> str:
    """Its first word: the rest may be a password."""
    first, *rest = re.split(r"(?<=[^\s:=])[\s:=]", line.strip(), maxsplit=1)
    return repr(first + (" …" if rest else ""))


def _without_comment(value: str) -> str:
    """A ``;`` after a blank starts a comment, if it is the first one of the line. ``""`` is the empty text."""
    place = value.find(";")
    if place != -1 and value[place - 1].isspace():
        value = value[:place]
    value = value.strip()
    return "" if value == '""' else value
