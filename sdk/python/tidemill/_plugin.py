"""From handlers to what a component exports."""

import dataclasses
from collections.abc import Callable

from componentize_py_types import Err
from wit_world.exports import description
from wit_world.imports import types

from . import _check, _output
from ._context import Context
from ._event import Event
from ._failure import Reject, raised, to_failure
from ._query import Query, answer
from ._sdk import SDK
from ._shape import ShapeError, reader

Handler = Callable[[Context], None]


class Plugin:
    """The handlers of a plugin, by event type.

    The module of a plugin ends with `Subscriber, Description = plugin.exports()`: these two names are what
    the component's world asks for. Of one that answers queries it ends with
    `Subscriber, Projection, Description = plugin.exports()`.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str = "",
        summary: str = "",
        append: tuple[str, ...] = (),
        dispatch: tuple[str, ...] = (),
        state_schema: int | None = None,
    ):
        """`append`: the types of events it wants to append; `dispatch`: the commands it wants to send, such as
        `account:Deposit`. The manifest's `[grants]` allow them. `state_schema`: which schema the state has, from 1;
        raise it when another state is to be made of the same events: the host builds it anew beside the one there is,
        and then changes over."""
        if state_schema is not None and (type(state_schema) is not int or state_schema < 1):
            raise ValueError(f"state_schema is {state_schema!r}: number the schemas of the state from 1")
        about = {"name": name, "version": version, "summary": summary}
        self._about = [_check.text(f"{what} of the plugin", said) for what, said in about.items()]
        self._append = _check.texts("append of the plugin", append)
        self._requests = [("request.dispatch", command) for command in _check.texts("dispatch of the plugin", dispatch)]
        self._schema = [] if state_schema is None else [("schema", str(state_schema))]
        self._handlers: dict[str, Handler] = {}
        self._queries: dict[str, Callable[[Query], object]] = {}

    def on(self, kind: type | str, *, event_type: str | None = None):
        """Decorates a handler.

        With a dataclass: `handler(event, ctx)` takes events of the type of that name (or of `event_type`), whose
        payload it is checked against; another payload rejects the event. With a text: `handler(ctx)` takes events
        of that type unchecked; `"*"` takes all that have no other handler.
        """
        if isinstance(kind, str):
            return lambda handler: self._add(kind, handler, handler)
        if not dataclasses.is_dataclass(kind):
            raise TypeError(f"{kind!r} is neither a dataclass nor an event type")
        read = reader(kind)

        def decorate(handler):
            return self._add(event_type or kind.__name__, lambda ctx: handler(_decode(ctx.event, read), ctx), handler)

        return decorate

    def query(self, name: str):
        """Decorates `answers(query)`, which answers the query of that name: a value as JSON, or an `Answer`."""

        def decorate(answers: Callable[[Query], object]):
            _check.function(answers)
            if name in self._queries:
                raise ValueError(f"there are two answers to {name}")
            self._queries[name] = answers
            return answers

        return decorate

    def exports(self) -> tuple[type, ...]:
        """The classes that the component exports."""
        queries = self._queries
        handle, describe = self._handle, self._describe

        class Subscriber:
            def handle(self, events: list[types.Event]) -> None:
                handle(events)

        class Description:
            def describe(self) -> description.Description:
                return describe()

        class Projection:
            def query(self, request):
                return answer(queries, request)

        roles = (Subscriber, Projection) if queries else (Subscriber,)
        return _output.called_by_host(*roles, Description)

    def _add(self, event_type: str, handler: Handler, decorated):
        _check.function(decorated)
        if event_type in self._handlers:
            raise ValueError(f"there are two handlers for {event_type}")
        self._handlers[event_type] = handler
        return decorated

    def _handle(self, events: list[types.Event]) -> None:
        otherwise = self._handlers.get("*", _unexpected)
        for index, fields in enumerate(events):
            _output.event_time_us = fields.timestamp_us
            try:
                raised(self._handlers.get(fields.event_type, otherwise)(Context(Event(fields))))
            except Exception as error:
                failure = to_failure(error)
                raise Err(types.Failure(index, failure.verdict(), _check.valid(failure))) from None

    def _describe(self) -> description.Description:
        name, version, summary = self._about
        listens = [] if "*" in self._handlers else list(self._handlers)
        queries = [("query", query) for query in self._queries]
        extra = [*queries, *self._requests, *self._schema, SDK]
        return description.Description(name, version, summary, listens, [], [], self._append, extra)


def _unexpected(ctx: Context) -> None:
    raise Reject(f"no handler for {ctx.event.type}")


def _decode(event: Event, read):
    try:
        return read(event.json(), "")
    except ShapeError as error:
        raise Reject(f"payload of {event.type}: {error}") from None
