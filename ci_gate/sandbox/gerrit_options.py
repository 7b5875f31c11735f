"""Command lines of the simulated Gerrit: how one is split into words, and words into options.

Knows no command. Wordings: the recorded samples `refused-unknown-option` and `refused-no-change-given` of 3.13.0.
"""

from collections.abc import Mapping, Sequence


class UsageError(Exception):
    """The command line is wrong; Gerrit prints the text after `fatal: ` and exits with 1."""


def split(line: str) -> list[str]:
    """Split a command as the server does (gerrit-wire.md 6.2).

    Blanks and tabs separate, newlines do not. Single quotes keep everything; in double quotes and outside a
    backslash keeps the next character. An open quote lasts to the end, and a word of which nothing is left is no
    word.
    """
    words, word, quote = [], "", ""
    characters = iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            word += next(characters, "\\")
        elif quote:
            if character == quote:
                quote = ""
            else:
                word += character
        elif character in "\"'":
            quote = character
        elif character in " \t":
            words.append(word)
            word = ""
        else:
            word += character
    return [each for each in [*words, word] if each]


def parse(
    words: Sequence[str], options: Mapping[str, str], flags: Mapping[str, str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """Tell options from arguments. `options` (with a value) and `flags` (without) map each spelling to the option's
    name.

    Returns the options in order, a flag with an empty value, and the arguments. `--name=value` is taken as well;
    after `--` everything is an argument. Raises `UsageError`.
    """
    given: list[tuple[str, str]] = []
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        spelling, equals, value = word.partition("=")
        if word == "--":
            arguments.extend(rest)
        elif not word.startswith("-") or word == "-":
            arguments.append(word)
        elif word in flags:
            given.append((flags[word], ""))
        elif spelling not in options:
            raise UsageError(f'"{spelling}" is not a valid option')
        elif equals:
            given.append((options[spelling], value))
        else:
            following = next(rest, None)
            if following is None:
                raise UsageError(f'Option "{spelling}" takes an operand')
            given.append((options[spelling], following))
    return given, arguments
