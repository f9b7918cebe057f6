"""Write Tidemill plugins in Python. See README.md beside this folder."""

import importlib

from . import _output
from ._event import Event
from ._failure import Failure, Reject, Retry, Stop
from ._query import Answer, Invalid, Query

_output.capture()

__all__ = [
    "Answer",
    "Asked",
    "Checked",
    "Context",
    "Decider",
    "Event",
    "Failure",
    "FieldError",
    "Invalid",
    "Lifts",
    "Plugin",
    "Query",
    "Reject",
    "Rejection",
    "Retry",
    "Rules",
    "Stop",
    "config",
    "log",
    "state",
]

_IN_MODULE = {
    "Asked": "_aggregate",
    "Checked": "_validator",
    "Context": "_context",
    "Decider": "_aggregate",
    "FieldError": "_validator",
    "Lifts": "_upcaster",
    "Plugin": "_plugin",
    "Rejection": "_aggregate",
    "Rules": "_validator",
}
"""What is there only in some worlds: one that decides commands has nothing to act with."""


def __getattr__(name: str) -> object:
    if name not in _IN_MODULE:
        raise AttributeError(f"tidemill has no {name}")
    return getattr(importlib.import_module(f"tidemill.{_IN_MODULE[name]}"), name)
