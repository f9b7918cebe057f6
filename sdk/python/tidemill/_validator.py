"""Validators: rules that commands are held against before they are decided."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone

from componentize_py_types import Err

from . import _check
from ._output import called_by_host
from ._shape import ShapeError, reader

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

_MALFORMED = "malformed"
"""The code of the error of data that do not have a rule's shape."""


@dataclasses.dataclass(frozen=True)
class FieldError:
    """What is wrong at a place of a command's data."""

    path: str
    """A JSON pointer such as `/lines/0/quantity`; empty for the whole."""
    code: str
    """What kind of fault it is, for programs, such as `too-large`."""
    message: str
    """What is wrong, for people."""


@dataclasses.dataclass(frozen=True)
class Checked:
    """A command that is about to be decided."""

    id: str
    aggregate: str
    key: str
    """Which one: what follows the category in its stream's name."""
    type: str
    data: str | bytes
    """As they were sent: the text of JSON, or bytes."""
    metadata: dict[str, str]
    time: datetime
    """When it is checked: the only clock there is."""


Rule = Callable[[Checked], Iterable[FieldError]]


class Rules:
    """The rules of a validator, by type of command. The module ends with `Validator = rules.exports()`."""

    def __init__(self):
        self._rules: dict[str, Rule] = {}

    def on(self, kind: type | str, *, command_type: str | None = None):
        """Decorates a rule, which answers what is wrong: a list of `FieldError`, empty where there is nothing.

        With a dataclass: `rule(data, command)` takes commands of the type of that name (or of `command_type`), whose
        data it is checked against; other data are refused, with the place. With a text: `rule(command)` takes commands of
        that type unchecked; `"*"` takes all that have no other rule. Without one a command may be decided.
        """
        if isinstance(kind, str):
            return lambda rule: self._add(kind, rule, rule)
        read = reader(kind)

        def decorate(rule):
            return self._add(command_type or kind.__name__, lambda command: _checked(rule, read, command), rule)

        return decorate

    def exports(self) -> type:
        """The class that the component exports."""
        rules = self._rules

        class Validator:
            def validate(self, command) -> None:
                rule = rules.get(command.command_type, rules.get("*"))
                errors = list(rule(_command(command)) or ()) if rule else []
                if errors:
                    raise Err(_told(errors))

        return called_by_host(Validator)[0]

    def _add(self, command_type: str, rule: Rule, decorated):
        _check.function(decorated, may_yield=True)
        if command_type in self._rules:
            raise ValueError(f"there are two rules for {command_type}")
        self._rules[command_type] = rule
        return decorated


def _command(command) -> Checked:
    time = _EPOCH + timedelta(microseconds=command.timestamp_us)
    metadata = dict(command.metadata)
    data = command.data.value
    return Checked(command.id, command.aggregate, command.key, command.command_type, data, metadata, time)


def _checked(rule, read, command: Checked) -> Iterable[FieldError]:
    try:
        data = read(json.loads(command.data), "")
    except ShapeError as error:
        return [FieldError(error.pointer, _MALFORMED, str(error))]
    except ValueError:
        return [FieldError("", _MALFORMED, "it is not JSON")]
    return rule(data, command)


def _told(errors: list[FieldError]):
    # There only in the worlds of validators.
    from wit_world.exports import validator as contract

    def told(error: FieldError):
        return contract.FieldError(_check.valid(error.path), error.code, _check.valid(error.message))

    return [told(error) for error in errors]
