"""Upcasters: what lifts events of older schemas to today's."""

import dataclasses
import json
from collections.abc import Callable, Mapping

from componentize_py_types import Err
from wit_world.imports import types

from . import _check
from ._failure import raised, to_failure
from ._output import called_by_host
from ._shape import Reader, ShapeError, reader


@dataclasses.dataclass(frozen=True)
class _Lift:
    """One step: what it makes, by type and schema version, how it reads what it takes, and what it does with it."""

    into: Mapping[str, int]
    read: Reader
    make: Callable[[object], list[tuple[str, object]]]


class Lifts:
    """The steps of an upcaster, each a decorated function.

    What it makes of an event follows from that event alone; raising `Reject(why)` says that nothing can be made of it,
    which sets it aside. The module ends with `Upcaster = lifts.exports()`.
    """

    def __init__(self):
        self._steps: dict[tuple[str, int], _Lift] = {}

    def lift(self, event_type: str, from_version: int, data: type = dict):
        """Decorates `make(data)`, which lifts a type from a schema version to the next one.

        `data` is a dataclass that the old payload is checked against, or `dict` for all of it as it is. The function
        answers the new payload: a dataclass, or what JSON can hold.
        """

        def decorate(make):
            _check.function(make)
            made = lambda old: [(event_type, raised(make(old)))]  # noqa: E731
            self._add(event_type, from_version, _Lift({event_type: from_version + 1}, _reader(data), made))
            return make

        return decorate

    def lift_into(self, event_type: str, from_version: int, into: Mapping[str, int], data: type = dict):
        """Decorates `make(data)`, which makes other events of one: of another type, several in this order, or none.

        `into` has the schema version of each type that may come of it: `{"Paid": 3, "Sent": 1}`. The function answers a
        list of pairs of a type and a payload, or of dataclasses that are named like the types.
        """

        def decorate(make):
            _check.function(make, may_yield=True)
            made = lambda old: [_named(event) for event in raised(make(old))]  # noqa: E731
            self._add(event_type, from_version, _Lift(dict(into), _reader(data), made))
            return make

        return decorate

    def drop(self, event_type: str, from_version: int) -> None:
        """Drops the events of a type and schema version: nobody is shown them any more."""
        self._add(event_type, from_version, _Lift({}, lambda value, path: value, lambda old: []))

    def exports(self) -> type:
        """The class that the component exports."""
        steps = self._steps

        class Upcaster:
            def lifts(self):
                return _declared(steps)

            def upcast(self, event: types.Event):
                return _upcast(steps, event)

        return called_by_host(Upcaster)[0]

    def _add(self, event_type: str, from_version: int, lift: _Lift) -> None:
        step = _schema(event_type, from_version)
        into = dict(_schema(*made) for made in lift.into.items())
        if step in self._steps:
            raise ValueError(f"there are two lifts of {event_type} {from_version}")
        self._steps[step] = dataclasses.replace(lift, into=into)


def _schema(event_type: object, version: object) -> tuple[str, int]:
    """A type and a schema version of it, as the host takes them."""
    return _check.text("type of a lift", event_type), _check.whole(f"version of {event_type}", version, _check.U32_MAX)


def _reader(data: type) -> Reader:
    return reader(dict[str, object] if data is dict else data)


def _named(event: object) -> tuple[str, object]:
    return event if isinstance(event, tuple) else (type(event).__name__, event)


def _declared(steps: dict[tuple[str, int], _Lift]):
    # There only in the worlds of upcasters.
    from wit_world.exports import upcaster as contract

    def target(made):
        return contract.Target(*made)

    return [contract.Lift(*step, [target(made) for made in lift.into.items()]) for step, lift in steps.items()]


def _upcast(steps: dict[tuple[str, int], _Lift], event: types.Event):
    from wit_world.exports import upcaster as contract

    try:
        made = _made(steps, event)
        lifted = [(_check.text("type of an event", name), _json(data)) for name, data in made]
        return [contract.Upcasted(name, types.Payload_Json(text), None) for name, text in lifted]
    except ShapeError as error:
        raise Err(_check.valid(f"payload of {event.event_type}: {error}")) from None
    except Exception as error:
        raise Err(_check.valid(to_failure(error))) from None


def _made(steps: dict[tuple[str, int], _Lift], event: types.Event) -> list[tuple[str, object]]:
    lift = steps.get((event.event_type, event.schema_version))
    if lift is None:
        raise ShapeError(f"no lift takes {event.event_type} {event.schema_version}")
    if not isinstance(event.payload, types.Payload_Json):
        raise ShapeError("it is not JSON")
    return lift.make(lift.read(json.loads(event.payload.value), ""))


def _json(data: object) -> str:
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        data = dataclasses.asdict(data)
    return _check.text("payload of an event", json.dumps(data, ensure_ascii=False, allow_nan=False))
