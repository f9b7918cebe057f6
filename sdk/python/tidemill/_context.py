"""What a handler may do on behalf of the event at hand."""

import dataclasses
import json
from collections.abc import Iterable, Mapping

from wit_world.imports import append as host
from wit_world.imports import types

from . import _check
from ._event import Event
from ._failure import Stop

try:
    from wit_world.imports import dispatch as dispatching
except ImportError:
    # It is there only in the worlds of those that send commands.
    dispatching = None


class Context:
    """Handed to a handler along with what its event carries."""

    __slots__ = ("event",)

    def __init__(self, event: Event):
        self.event = event

    def append(
        self,
        event_type: str,
        data: object,
        *,
        stream: str | None = None,
        tags: Iterable[str] = (),
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        schema_version: int = 1,
    ) -> None:
        """Appends an event, which commits together with the checkpoint.

        The manifest must grant its type: `[grants] append = ["<type>"]`. `data` is a dataclass, anything that
        JSON can hold, or bytes. The host adds an id, `causation_id` and `correlation_id`.
        """
        event = host.NewEvent(
            event_type=_check.text("type of an event", event_type),
            stream=_check.text_or_none(f"stream of {event_type}", stream),
            payload=_payload(f"data of {event_type}", data),
            content_type=_check.text_or_none(f"content type of {event_type}", content_type),
            tags=_check.texts(f"tags of {event_type}", tags),
            metadata=_check.pairs(f"metadata of {event_type}", metadata),
            schema_version=_check.whole(f"schema_version of {event_type}", schema_version, _check.U32_MAX),
        )
        host.append(self.event.position, [event])

    def dispatch(
        self,
        aggregate: str,
        key: str,
        command_type: str,
        data: object = None,
        *,
        id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> str:
        """Sends a command to one aggregate, such as `7` of `account`; answers its id.

        It is accepted when the handler's effects commit, and decided once, later. The manifest must grant it:
        `[grants] dispatch = ["<aggregate>:<type>"]`. `data` is as for `append`. Of two commands with one `id` the second
        is not decided; without one, it follows from the event at hand.
        """
        if dispatching is None:
            raise Stop(
                "this plugin was built for a world without commands; build it for one that sends them, such as "
                "described-dispatching-subscriber-plugin"
            )
        command = dispatching.NewCommand(
            id=_check.text_or_none(f"id of {command_type}", id),
            aggregate=_check.text(f"aggregate of {command_type}", aggregate),
            key=_check.text(f"key of {command_type}", key),
            command_type=_check.text("type of a command", command_type),
            data=_payload(f"data of {command_type}", {} if data is None else data),
            content_type=_check.text_or_none(f"content type of {command_type}", content_type),
            metadata=_check.pairs(f"metadata of {command_type}", metadata),
        )
        return dispatching.dispatch(self.event.position, [command])[0]


def _payload(what: str, data: object) -> types.Payload:
    if isinstance(data, (bytes, bytearray)):
        return types.Payload_Binary(bytes(data))
    if dataclasses.is_dataclass(data) and not isinstance(data, type):
        data = dataclasses.asdict(data)
    return types.Payload_Json(_check.text(what, json.dumps(data, ensure_ascii=False, allow_nan=False)))
