"""What Schemathesis does not know by itself."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_, value) -> bytes:
    """A body of lines is a text in the document."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs) -> None:
    """A deadline of milliseconds passes on a busy machine, which is answered as it should be: 504."""
    body = case.body
    if isinstance(body, dict) and isinstance(body.get("deadline_ms"), int) and 0 < body["deadline_ms"] < 10_000:
        body["deadline_ms"] = 10_000
