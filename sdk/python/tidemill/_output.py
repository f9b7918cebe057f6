"""What is printed. A plugin has no files: `sys.stdout` and `sys.stderr` write lines of its log.

In worlds without a log, of what decides, lifts and validates, it goes nowhere. While the component is built there is no
host to call yet, and it goes where it went before.
"""

import functools
import inspect
import io
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace

try:
    from . import log
except ImportError:
    # There only in some worlds.
    log = None

_running = False
"""Whether the host has called: what runs before that is the build."""


event_time_us = 0
"""When the event at hand was stored: the time of the records of `logging`, which asks for one."""


class _Lines(io.RawIOBase):
    """Hands on whole lines."""

    def __init__(self, before: io.TextIOBase, tell: Callable[[str], None] | None):
        self._before = before
        self._tell = tell
        self._begun = b""

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        if not _running:
            self._before.write(bytes(data).decode(errors="replace"))
            self._before.flush()
        elif self._tell is not None:
            *lines, self._begun = (self._begun + bytes(data)).split(b"\n")
            for line in lines:
                self._told(line)
        return len(data)

    def end(self) -> None:
        """Hands on the line that was begun."""
        if self._begun:
            self.write(b"\n")

    def _told(self, line: bytes) -> None:
        message = line.decode(errors="replace").rstrip()
        if message:
            self._tell(message)


def capture() -> None:
    """Has what is printed from now on be lines of the log."""
    for name, tell in [("stdout", log and log.info), ("stderr", log and log.warn)]:
        lines = _Lines(getattr(sys, name), tell)
        _streams.append(lines)
        setattr(sys, name, io.TextIOWrapper(lines, "utf-8", "replace", newline="\n", write_through=True))


_streams: list[_Lines] = []


def called_by_host(*exported: type) -> tuple[type, ...]:
    """The classes that a component exports; from their first call on the plugin runs."""
    if logging := sys.modules.get("logging"):
        # There is no clock, and asking for one ends the instance.
        logging.time = SimpleNamespace(**{**vars(time), "time_ns": lambda: event_time_us * 1000})
    for kind in exported:
        for name, member in list(vars(kind).items()):
            if inspect.isfunction(member):
                setattr(kind, name, _called(member))
            elif isinstance(member, classmethod):
                setattr(kind, name, classmethod(_called(member.__func__)))
    return exported


def _called(function: Callable) -> Callable:
    @functools.wraps(function)
    def run(*arguments):
        global _running
        _running = True
        try:
            return function(*arguments)
        finally:
            for stream in _streams:
                stream.end()

    return run
