"""The `[config]` table of the plugin's manifest. It does not change while an instance lives.

A setting that makes no sense stops the plugin: the events are not to blame.
"""

import json as _json

from wit_world.imports import config as _host

from . import _check
from ._failure import Stop


def text(key: str, default: str | None = None) -> str | None:
    """The text under a key, or `default`."""
    value = _get(key)
    return default if value is None else value


def integer(key: str, default: int | None = None) -> int | None:
    """The whole number under a key, or `default`."""
    return _read(key, default, int, "a whole number")


def number(key: str, default: float | None = None) -> float | None:
    """The number under a key, or `default`."""
    return _read(key, default, float, "a number")


def flag(key: str, default: bool | None = None) -> bool | None:
    """`true` or `false` under a key, or `default`."""
    return _read(key, default, lambda value: {"true": True, "false": False}[value], "true or false")


def json(key: str, default: object = None) -> object:
    """The array or table under a key, or `default`."""
    return _read(key, default, _json.loads, "an array or a table")


def _get(key: str) -> str | None:
    return _host.get(_check.text("key of the configuration", key))


def _read(key, default, parse, wanted):
    value = _get(key)
    if value is None:
        return default
    try:
        return parse(value)
    except (ValueError, KeyError):
        raise Stop(f"config key `{key}` of the manifest: `{value}` is not {wanted}") from None
