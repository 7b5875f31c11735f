"""Values of an INI file as the kinds that the table says, with a problem for each that is not."""

from __future__ import annotations

import re
from pathlib import Path

from ci_gate.config import settings_schema as schema
from ci_gate.config.ini import Ini
from ci_gate.config.problems import Level, Problem

TRUE = frozenset({"1", "yes", "true", "on"})
FALSE = frozenset({"0", "no", "false", "off"})
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class Reader:
    """``keys`` of a method name a section's table where the section is not one of its own (connections)."""

    def __init__(self, ini: Ini, file: str) -> None:
        self._ini = ini
        self._file = file
        self.problems: list[Problem] = []

    def text(self, section: str, key: str) -> str | None:
        """None if absent or empty."""
        value = self._ini.get(section, key)
        return value.text or None if value else None

    def line(self, section: str, key: str) -> int:
        value = self._ini.get(section, key)
        return value.line if value else 0

    def path(self, section: str, key: str) -> Path | None:
        text = self.text(section, key)
        if text is None:
            return None
        try:
            path = Path(text).expanduser()
        except RuntimeError:  # no such user has a home
            self.error(self.line(section, key), f"[{section}] {key}: there is no user whose home {text} could be under")
            return None
        if not path.is_absolute():
            path = path.absolute()
            self.notice(self.line(section, key), f"[{section}] {key}: relative path, taken as {path}")
        return path

    def required_path(self, section: str, key: str, advice: str) -> Path:
        if self.text(section, key) is None:
            self.missing(section, key, advice)
        return self.path(section, key) or Path()

    def boolean(self, section: str, key: str, *, default: bool) -> bool:
        value = self._ini.get(section, key)
        if value is None:
            return default
        word = value.text.lower()
        if word not in TRUE | FALSE:
            self._bad(section, key, "is not a boolean; use true or false")
        return word in TRUE

    def integer(self, section: str, key: str, default: int, *, keys: str | None = None) -> int:
        value = self._ini.get(section, key)
        if value is None:
            return default
        if not re.fullmatch(r"[+-]?[0-9]+", value.text):
            self._bad(section, key, "is not a whole number")
            return default
        number, known = int(value.text), (schema.DRIVERS[keys] if keys else schema.SECTIONS[section])[key]
        if not known.least <= number <= known.most:
            self._bad(section, key, f"is not from {known.least} to {known.most}")
        return number

    def duration(self, section: str, key: str, default: float) -> float:
        """A whole number and a unit, as in ``14d``; in seconds."""
        value = self._ini.get(section, key)
        if value is None:
            return default
        found = re.fullmatch(r"([0-9]+)\s*([smhdw])", value.text)
        if found is None:
            self._bad(section, key, "is not a time; use a whole number and s, m, h, d or w, e.g. 14d")
            return default
        return float(int(found[1]) * UNITS[found[2]])

    def choice(self, section: str, key: str, default: str, choices: tuple[str, ...]) -> str:
        text = self.text(section, key)
        if text is not None and text not in choices:
            self._bad(section, key, f"is not allowed; use one of {', '.join(choices)}")
        return text or default

    def missing(self, section: str, key: str, advice: str) -> None:
        self.error(0, f"[{section}] {key} is missing: {advice}")

    def error(self, line: int, text: str) -> None:
        self.problems.append(Problem(self._file, line, 0, Level.ERROR, text))

    def notice(self, line: int, text: str) -> None:
        self.problems.append(Problem(self._file, line, 0, Level.NOTICE, text))

    def _bad(self, section: str, key: str, what: str) -> None:
        self.error(self.line(section, key), f'[{section}] {key}: "{self.text(section, key) or ""}" {what}')
