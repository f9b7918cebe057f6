"""Lines for the operator, written at once, also by attempts that fail."""

from wit_world.imports import log as _host

from ._check import valid as _valid


def trace(message: object) -> None:
    _host.log(_host.Level.TRACE, _valid(message))


def debug(message: object) -> None:
    _host.log(_host.Level.DEBUG, _valid(message))


def info(message: object) -> None:
    _host.log(_host.Level.INFO, _valid(message))


def warn(message: object) -> None:
    _host.log(_host.Level.WARN, _valid(message))


def error(message: object) -> None:
    _host.log(_host.Level.ERROR, _valid(message))
