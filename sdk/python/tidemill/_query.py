"""Queries: what somebody wants to know of the plugin's state, and the answers."""

import json
from collections.abc import Callable

from componentize_py_types import Err
from wit_world.imports import types

from . import _check
from ._failure import raised, to_failure


class Invalid(Exception):
    """Raised for a parameter that is missing, not known, or has a bad value: says which, and what it takes."""


class Answer:
    """An answer that is not JSON."""

    def __init__(self, content_type: str, body: str | bytes):
        self.content_type = _check.text("content type of an answer", content_type)
        self.body = body.encode() if isinstance(body, str) else _check.octets("body of an answer", body)


class Query:
    """A query with its parameters.

    It is answered from `state` as of one moment; what is tried to be changed is denied. Keep nothing for the next
    query: it sees another moment.
    """

    def __init__(self, request):
        self.name: str = request.query
        self.checkpoint: int = request.checkpoint
        """Every matching event up to here is in the state, or set aside."""
        self.parameters: list[tuple[str, str]] = list(request.parameters)
        """Names and values, in the order given."""

    def all(self, name: str) -> list[str]:
        """Every value of a parameter."""
        return [value for given, value in self.parameters if given == name]

    def text(self, name: str, default: str | None = None) -> str | None:
        """The text of a parameter, or `default`."""
        values = self.all(name)
        if len(values) > 1:
            raise Invalid(f"parameter `{name}` is given twice; give it once")
        return values[0] if values else default

    def require(self, name: str) -> str:
        """The text of a parameter that must be given."""
        value = self.text(name)
        if value is None:
            raise Invalid(f"parameter `{name}` is missing")
        return value

    def integer(self, name: str, default: int | None = None) -> int | None:
        """The whole number of a parameter, or `default`."""
        return self._read(name, default, int, "a whole number")

    def number(self, name: str, default: float | None = None) -> float | None:
        """The number of a parameter, or `default`."""
        return self._read(name, default, float, "a number")

    def flag(self, name: str, default: bool | None = None) -> bool | None:
        """`true` or `false` of a parameter, or `default`."""
        return self._read(name, default, lambda value: {"true": True, "false": False}[value], "true or false")

    def _read(self, name, default, parse, wanted):
        value = self.text(name)
        if value is None:
            return default
        try:
            return parse(value)
        except (ValueError, KeyError):
            raise Invalid(f"parameter `{name}` is `{value}`, which is not {wanted}") from None


def answer(queries: dict[str, Callable[[Query], object]], request):
    """Answers a request by the query of its name."""
    # There only in the worlds of projections.
    from wit_world.exports import projection

    answers = queries.get(request.query)
    if answers is None:
        raise Err(projection.QueryError_UnknownQuery())
    try:
        value = raised(answers(Query(request)))
        if isinstance(value, Answer):
            return projection.Answer(types.Payload_Binary(value.body), value.content_type)
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        return projection.Answer(types.Payload_Json(_check.text("the answer", text)), None)
    except Invalid as error:
        raise Err(projection.QueryError_Invalid(_check.valid(error))) from None
    except Exception as error:
        raise Err(projection.QueryError_Failed(_check.valid(to_failure(error)))) from None
