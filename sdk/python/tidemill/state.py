"""The plugin's own durable key-value state.

Reads see what is committed and this batch's own writes; writes commit together with the checkpoint. Keys are
text of 1 to 1,024 bytes in the order of their UTF-8 bytes; values at most 1 MiB, as JSON unless the function
says `bytes`.
"""

import json
from collections.abc import Iterator

from wit_world.imports import state as _host

from . import _check
from ._failure import Stop

_SCAN_PAGE_ENTRIES = 256
"""Entries asked for at a time while scanning."""


def get(key: str, default: object = None) -> object:
    """The value under a key, or `default`."""
    found = get_bytes(key)
    return default if found is None else _parse(key, found)


def set(key: str, value: object) -> None:
    """Sets the value under a key."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    set_bytes(key, _check.text(f"value of {key}", written).encode())


def delete(key: str) -> None:
    """Removes a key; one that is not there is fine."""
    _host.delete(_key(key))


def get_bytes(key: str) -> bytes | None:
    """The bytes under a key."""
    return _host.get(_key(key))


def set_bytes(key: str, value: bytes) -> None:
    """Sets the bytes under a key."""
    _host.set(_key(key), _check.octets(f"value of {key}", value))


def scan(prefix: str, after: str | None = None) -> Iterator[tuple[str, object]]:
    """The entries whose key begins with `prefix`, in key order, strictly after `after` if given; page by page."""
    for key, value in scan_bytes(prefix, after):
        yield key, _parse(key, value)


def scan_bytes(prefix: str, after: str | None = None) -> Iterator[tuple[str, bytes]]:
    """The same, with the bytes."""
    _check.text("prefix of a scan", prefix)
    _check.text_or_none("after of a scan", after)
    while True:
        page = _host.scan(prefix, after, _SCAN_PAGE_ENTRIES)
        for entry in page.entries:
            yield entry.key, entry.value
        after = page.next
        if after is None:
            return


def _key(key: object) -> str:
    return _check.text("key of the state", key)


def _parse(key: str, value: bytes) -> object:
    try:
        return json.loads(value)
    except ValueError as error:
        raise Stop(f"state under `{key}` is not as this version expects: {error}") from error
