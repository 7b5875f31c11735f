"""The connections that a layout may name, as far as they are known (``spec/layout.md`` 1)."""

from __future__ import annotations

from ci_gate.config.layout.reader import Reader


def has_driver(reader: Reader, name: str, driver: str) -> bool:
    """Without a configuration file any name may be a connection of that kind."""
    return reader.connections is None or reader.connections.get(name) == driver


def names_with(reader: Reader, *drivers: str) -> list[str]:
    return [name for name, driver in (reader.connections or {}).items() if driver in drivers]


def drivers_text(reader: Reader, name: str) -> str:
    """Why a connection that exists is not available here."""
    driver = (reader.connections or {}).get(name)
    return f" (the connection {name} is of driver {driver})" if driver else ""
