"""A ``log_config`` file in the dialect that it was written for: Python 2.7's, as all of zuul.conf (ci-conf.md 2, 8).

Today's parser refuses a section or key that comes twice and a lone ``%``, and takes a ``;`` after a blank for text.
"""

from __future__ import annotations

import configparser
from collections.abc import Mapping, MutableMapping
from pathlib import Path


def read_log_file(path: Path) -> configparser.RawConfigParser:
    """For ``logging.config.fileConfig``. Raises OSError, UnicodeDecodeError, configparser.Error."""
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";",), interpolation=_OnlyFields())
    with path.open(encoding="utf-8-sig") as file:
        parser.read_file(file)
    return parser


class _OnlyFields(configparser.BasicInterpolation):
    """Values without ``%(`` are as they stand."""

    def before_get(
        self,
        parser: MutableMapping[str, Mapping[str, str]],
        section: str,
        option: str,
        value: str,
        defaults: Mapping[str, str],
    ) -> str:
        if "%(" not in value:
            return value
        return super().before_get(parser, section, option, value, defaults)
