"""Events as dataclasses: a payload is checked against the annotations."""

import dataclasses
import json
import re
import types
import typing
from collections.abc import Callable

Reader = Callable[[object, str], object]


class ShapeError(Exception):
    """A value is not what the annotation says."""

    def __init__(self, message: str, path: str = ""):
        super().__init__(message)
        self._path = path

    @property
    def pointer(self) -> str:
        """The place, as a JSON pointer: `/lines/0/quantity`; empty for the whole."""
        return "/" + re.sub(r"\[(\d+)\]", r".\1", self._path).replace(".", "/") if self._path else ""


def reader(annotation: object, *, exact: bool = False) -> Reader:
    """What reads a JSON value as the annotated type.

    Known are `str`, `bool`, `int`, `float`, `list[T]`, `dict[str, T]`, `T | None`, `object`, and dataclasses
    of these. With `exact` a dataclass has all of its fields, those with a default too, and none beside: it is read as it
    was written down.
    """
    if annotation in _PLAIN:
        return _plain(annotation)
    if annotation in (object, typing.Any):
        return lambda value, path: value
    if dataclasses.is_dataclass(annotation):
        return _dataclass(annotation, exact)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is list and arguments:
        return _list(reader(arguments[0], exact=exact))
    if origin is dict and arguments and arguments[0] is str:
        return _dict(reader(arguments[1], exact=exact))
    if origin in (typing.Union, types.UnionType) and len(arguments) == 2 and type(None) in arguments:
        return _optional(reader(next(kind for kind in arguments if kind is not type(None)), exact=exact))
    named = annotation.__name__ if isinstance(annotation, type) and not arguments else annotation
    raise TypeError(
        f"events cannot hold `{named}`: use str, bool, int, float, object, list[str], dict[str, int], str | None and the "
        "like, or a dataclass"
    )


_PLAIN = {str: "text", bool: "true or false", int: "a whole number", float: "a number"}


def _expected(what: str, value: object, path: str) -> ShapeError:
    found = json.dumps(value, ensure_ascii=False)[:80]
    return ShapeError(f"{path or 'the whole'}: expected {what}, but it is {found}", path)


def _plain(kind: type) -> Reader:
    def read(value: object, path: str) -> object:
        if type(value) is kind:
            return value
        if kind is float and type(value) is int:
            return float(value)
        raise _expected(_PLAIN[kind], value, path)

    return read


def _list(item: Reader) -> Reader:
    def read(value: object, path: str) -> object:
        if type(value) is not list:
            raise _expected("a list", value, path)
        return [item(each, f"{path}[{index}]") for index, each in enumerate(value)]

    return read


def _dict(item: Reader) -> Reader:
    def read(value: object, path: str) -> object:
        if type(value) is not dict:
            raise _expected("an object", value, path)
        return {key: item(each, f"{path}.{key}" if path else key) for key, each in value.items()}

    return read


def _optional(some: Reader) -> Reader:
    return lambda value, path: None if value is None else some(value, path)


def _dataclass(kind: type, exact: bool) -> Reader:
    hints = typing.get_type_hints(kind)
    fields = [
        (field.name, _field(kind, field.name, hints[field.name], exact), exact or _required(field))
        for field in dataclasses.fields(kind)
    ]
    names = {name for name, _, _ in fields}

    def read(value: object, path: str) -> object:
        if type(value) is not dict:
            raise _expected("an object", value, path)
        found = {}
        for name, read_field, required in fields:
            place = f"{path}.{name}" if path else name
            if name in value:
                found[name] = read_field(value[name], place)
            elif required:
                raise ShapeError(f"{place}: it is missing", place)
        beside = sorted(value.keys() - names) if exact else []
        if beside:
            place = f"{path}.{beside[0]}" if path else beside[0]
            raise ShapeError(f"{place}: it is not known", place)
        try:
            return kind(**found)
        except ValueError as error:
            raise ShapeError(f"{path or 'the whole'}: {error}", path) from error

    return read


def _field(kind: type, name: str, annotation: object, exact: bool) -> Reader:
    try:
        return reader(annotation, exact=exact)
    except TypeError as error:
        raise TypeError(f"field `{name}` of {kind.__name__}: {error}") from None


def _required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
