"""Addresses of databases as SQLAlchemy writes them (ci-conf.md 7.4): driver, time limits, no secrets in texts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

CONNECT_S = 10
ANSWER_S = 20

OUR_DRIVERS = MappingProxyType({"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"})
"""Those that are installed with ci-gate: they stand in for others that an address names and that are not there."""

LIMITS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "psycopg": {
            "connect_timeout": CONNECT_S,
            "tcp_user_timeout": ANSWER_S * 1000,
            "keepalives_idle": CONNECT_S,
            "keepalives_interval": CONNECT_S // 2,
            "keepalives_count": 2,
        },
        "psycopg2": {"connect_timeout": CONNECT_S},
        "pymysql": {"connect_timeout": CONNECT_S, "read_timeout": ANSWER_S, "write_timeout": ANSWER_S},
        "mysqldb": {"connect_timeout": CONNECT_S},
        "pysqlite": {"timeout": CONNECT_S},
    }
)
"""By driver: how long it may wait. What the address says itself goes before."""


class BadAddressError(Exception):
    """The address cannot be used, now or later. The text names no secrets."""


def engine_for(dburi: str) -> Engine:
    """Connects only when asked to, and anew each time: no connection can have died meanwhile."""
    url = with_driver(_parsed(dburi))
    driver = url.get_dialect().driver
    given = {name: value for name, value in LIMITS.get(driver, {}).items() if name not in url.query}
    try:
        return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=given)
    except (ArgumentError, TypeError, ValueError) as problem:
        raise BadAddressError(without_secrets(str(problem), dburi)) from None


def with_limits(dburi: str) -> str:
    """The same address with a driver that is there, and, for PostgreSQL, with how long it may wait.

    Raises BadAddressError.
    """
    url = with_driver(_parsed(dburi))
    if url.get_backend_name() == "postgresql":
        given = {name: str(value) for name, value in LIMITS["psycopg"].items() if name not in url.query}
        url = url.update_query_dict(given)
    return url.render_as_string(hide_password=False)


def _parsed(dburi: str) -> URL:
    try:
        url = make_url(dburi)
    except (ArgumentError, ValueError):
        raise BadAddressError("it is not an address as SQLAlchemy writes it") from None
    name, plus, driver = url.drivername.partition("+")
    return url.set(drivername=f"postgresql{plus}{driver}") if name == "postgres" else url


def with_driver(url: URL) -> URL:
    """The same address with a driver that is there. Raises BadAddressError."""
    database = url.get_backend_name()
    try:
        url.get_dialect().import_dbapi()
    except NoSuchModuleError:
        raise BadAddressError(f"there is no driver for {url.drivername} databases") from None
    except ImportError as problem:
        ours = OUR_DRIVERS.get(database)
        if ours is None or ours == url.get_driver_name():
            raise BadAddressError(f"its driver is missing: {problem}; install that Python package") from None
        return url.set(drivername=f"{database}+{ours}")
    return url


def without_secrets(text: str, dburi: str) -> str:
    """A message of a driver's, fit for logs: it may quote the address it was given, or parts of it."""
    for secret in sorted(_secrets(dburi), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _secrets(dburi: str) -> set[str]:
    found = {dburi}
    try:
        url = make_url(dburi)
    except (ArgumentError, ValueError):
        return found
    found |= {str(url.password or ""), url.render_as_string(hide_password=False)}
    found |= {str(value) for name, value in url.query.items() if "pass" in name.lower()}
    return found - {""}
