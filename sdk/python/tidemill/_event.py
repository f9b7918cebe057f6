"""A stored event, as a handler sees it."""

import json
import uuid
from datetime import datetime, timedelta, timezone

from wit_world.imports import types

from ._failure import Reject

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Event:
    """A stored event. Its payload and its tags are parsed only when asked for."""

    __slots__ = ("_fields", "_tail")

    def __init__(self, fields: types.Event):
        self._fields = fields
        self._tail: dict | None = None

    @property
    def position(self) -> int:
        """Place in the global order; the first event of the log is 1."""
        return self._fields.position

    @property
    def id(self) -> uuid.UUID:
        return uuid.UUID(int=self._fields.id.high << 64 | self._fields.id.low)

    @property
    def type(self) -> str:
        return self._fields.event_type

    @property
    def stream(self) -> str | None:
        return self._fields.stream

    @property
    def version(self) -> int:
        """Place within the stream, from 1; 0 outside any stream."""
        return self._fields.version

    @property
    def time(self) -> datetime:
        """When the host stored it: the only clock that a plugin has."""
        return _EPOCH + timedelta(microseconds=self._fields.timestamp_us)

    @property
    def schema_version(self) -> int:
        return self._fields.schema_version

    @property
    def tags(self) -> list[str]:
        return self._context().get("tags", [])

    def tag(self, key: str) -> str | None:
        """The rest of the first tag that begins with `key:`."""
        prefix = f"{key}:"
        return next((tag[len(prefix) :] for tag in self.tags if tag.startswith(prefix)), None)

    @property
    def metadata(self) -> dict[str, str]:
        return self._context().get("metadata", {})

    def json(self) -> object:
        """The payload, parsed. A payload that is not JSON rejects the event."""
        payload = self._fields.payload
        if not isinstance(payload, types.Payload_Json):
            raise Reject(f"payload of {self.type}: it is {self.content_type}, not JSON")
        return json.loads(payload.value)

    @property
    def data(self) -> bytes | None:
        """The payload's bytes, if it is not JSON."""
        payload = self._fields.payload
        return payload.value if isinstance(payload, types.Payload_Binary) else None

    @property
    def content_type(self) -> str:
        is_json = isinstance(self._fields.payload, types.Payload_Json)
        return self._context().get("content_type", "application/json" if is_json else "application/octet-stream")

    def _context(self) -> dict:
        if self._tail is None:
            self._tail = json.loads(self._fields.context) if self._fields.context else {}
        return self._tail
