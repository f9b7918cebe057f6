"""Write Tidemill plugins in Python. See README.md beside this folder."""

from . import config, log, state
from ._context import Context
from ._event import Event
from ._failure import Failure, Reject, Retry, Stop
from ._plugin import Plugin
from ._query import Answer, Invalid, Query

__all__ = [
    "Answer",
    "Context",
    "Event",
    "Failure",
    "Invalid",
    "Plugin",
    "Query",
    "Reject",
    "Retry",
    "Stop",
    "config",
    "log",
    "state",
]
