"""Aggregates: what commands are decided for, one stream of events each."""

import dataclasses
import json
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from types import ModuleType

from componentize_py_types import Err
from wit_world.exports import description
from wit_world.imports import types

from . import _check
from ._failure import raised
from ._output import called_by_host
from ._sdk import SDK
from ._shape import ShapeError, reader

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_INVALID_COMMAND = "InvalidCommand"
"""The code of the rejection of a command that is none."""


class Rejection(Exception):
    """Raised by `decide`: the domain's answer is no.

    `code` is what kind of reason it is, for programs; `reason` is for people; what else is given are the details,
    for programs again.
    """

    def __init__(self, code: str, reason: str, **details: object):
        super().__init__(reason)
        self.code = code
        self.details = details


@dataclasses.dataclass(frozen=True)
class Asked:
    """What is known of a command beside its data."""

    id: str
    metadata: dict[str, str]
    """Such as `correlation_id` and `actor`."""
    time: datetime
    """When it is decided: the only clock there is."""


class Decider:
    """What decides the commands of a kind of aggregate.

    It wraps a dataclass, which is the aggregate's state: what JSON can hold, as it is written down as the snapshot and
    read back. It has two methods: `apply(event)` takes in an event, and `decide(command, asked)` answers the events
    that follow from a command, maybe none, or raises a `Rejection`, and changes nothing. If it has a class method
    `fresh(id)`, that makes one without events; otherwise the class is called without arguments.

    Events and commands are dataclasses, whose names are the types. The class of an event may
    say what it is stored with: `schema_version = 2`, an attribute, and `tags`, an attribute or a property of texts; both
    only where they are no fields. Without them that is version 1, and no tags. The module ends with
    `Aggregate, Description = Decider(..).exports()`.
    """

    def __init__(
        self,
        state: type,
        *,
        name: str,
        events: Iterable[type],
        commands: Iterable[type],
        version: str = "",
        summary: str = "",
        snapshot_schema: int = 1,
    ):
        """`snapshot_schema`: raise it when the state changes, and older snapshots are left out.

        One that lacks a field of today's, or has another, is left out anyway; what a field means is nowhere written.
        """
        about = {"name": name, "version": version, "summary": summary}
        self._about = [_check.text(f"{what} of the aggregate", said) for what, said in about.items()]
        for method, may_yield in [("apply", False), ("decide", True), ("fresh", False)]:
            _check.function(getattr(state, method, None), may_yield=may_yield)
        self._fresh = getattr(state, "fresh", lambda id: state())
        self._restore = reader(state, exact=True)
        self._events = {event.__name__: reader(event) for event in events}
        self._commands = {command.__name__: reader(command) for command in commands}
        self._snapshot_schema = snapshot_schema

    def exports(self) -> tuple[type, type]:
        """The classes that the component exports."""
        decider = self

        class Aggregate:
            def snapshot_schema(self) -> int:
                return decider._snapshot_schema

        class Description:
            def describe(self) -> description.Description:
                name, version, summary = decider._about
                return description.Description(name, version, summary, [], [], [], list(decider._events), [SDK])

        # componentize-py looks for the contract's resource in a module that is named like its interface.
        module = ModuleType("aggregate")
        module.Aggregate = _resource(self)
        sys.modules["aggregate"] = module
        return called_by_host(Aggregate, Description)


def _resource(decider: Decider) -> type:
    """The class whose instances are the aggregates of the component."""
    # There only in the worlds of aggregates.
    from wit_world.exports import aggregate as contract

    class Aggregate:
        def __init__(self, id: str):
            self._state = decider._fresh(id)

        @classmethod
        def restore(cls, id: str, snapshot: bytes):
            restored = cls.__new__(cls)
            try:
                restored._state = decider._restore(json.loads(snapshot), "")
            except (ValueError, ShapeError) as error:
                raise Err(_check.valid(error)) from None
            return restored

        def apply(self, events: list[types.Event]) -> None:
            for index, event in enumerate(events):
                try:
                    self._state.apply(_read(decider._events, event.event_type, event.payload))
                except Exception as error:
                    raise Err(contract.Misfit(index, _check.valid(f"{type(error).__name__}: {error}"))) from None

        def decide(self, command: contract.Command) -> list[contract.DecidedEvent]:
            try:
                asked = Asked(command.id, dict(command.metadata), _EPOCH + timedelta(microseconds=command.timestamp_us))
                wanted = _read(decider._commands, command.command_type, command.data)
                events = raised(self._state.decide(wanted, asked))
                if events is None:
                    raise TypeError(
                        f"`decide` returned nothing for {command.command_type}: return the events that follow, [] for "
                        "none, or raise a Rejection"
                    )
                return [_decided(contract, decider._events, event) for event in events]
            except ShapeError as error:
                raise Err(contract.Rejection(_INVALID_COMMAND, _check.valid(error), None)) from None
            except Rejection as error:
                details = _json(error.details) if error.details else None
                raise Err(contract.Rejection(error.code, _check.valid(error), details)) from None

        def snapshot(self) -> bytes:
            return _json(dataclasses.asdict(self._state)).encode()

    return called_by_host(Aggregate)[0]


def _read(known: dict, kind: str, payload: types.Payload) -> object:
    """Reads an event or a command by its type; raises a `ShapeError` when it is none of these."""
    if kind not in known:
        raise ShapeError(f"{kind} is not known; known are {', '.join(known)}")
    if not isinstance(payload, types.Payload_Json):
        raise ShapeError(f"payload of {kind}: it is not JSON")
    data = json.loads(payload.value)
    try:
        # One without fields carries nothing.
        return known[kind]({} if data is None else data, "")
    except ShapeError as error:
        raise ShapeError(f"payload of {kind}: {error}") from None


def _decided(contract, known: dict, event: object):
    """An event as the contract has it. One that `apply` could not take in again is a mistake: its stream would stand still."""
    kind, data = type(event).__name__, dataclasses.asdict(event)
    payload = types.Payload_Json(_json(data or None))
    try:
        _read(known, kind, payload)
    except ShapeError as error:
        raise TypeError(f"`decide` answered an event that cannot be read again: {error}") from None
    # A field of that name is of the event's data, and says nothing of how it is stored.
    tags = [] if "tags" in data else list(getattr(event, "tags", ()))
    schema_version = 1 if "schema_version" in data else getattr(event, "schema_version", 1)
    return contract.DecidedEvent(kind, payload, None, tags, [], schema_version)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
