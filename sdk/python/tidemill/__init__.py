"""Write Tidemill plugins in Python. See README.md beside this folder."""

import importlib

from ._event import Event
from ._failure import Failure, Reject, Retry, Stop
from ._query import Answer, Invalid, Query

__all__ = [
    "Answer",
    "Asked",
    "Context",
    "Decider",
    "Event",
    "Failure",
    "Invalid",
    "Plugin",
    "Query",
    "Reject",
    "Rejection",
    "Retry",
    "Stop",
    "config",
    "log",
    "state",
]

_IN_MODULE = {
    "Asked": "_aggregate",
    "Context": "_context",
    "Decider": "_aggregate",
    "Plugin": "_plugin",
    "Rejection": "_aggregate",
}
"""What is there only in some worlds: one that decides commands has nothing to act with."""


def __getattr__(name: str) -> object:
    if name not in _IN_MODULE:
        raise AttributeError(f"tidemill has no {name}")
    return getattr(importlib.import_module(f"tidemill.{_IN_MODULE[name]}"), name)
