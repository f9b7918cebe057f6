"""What Schemathesis does not know by itself."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_, value) -> bytes:
    """A body of lines is a text in the document."""
    return value if isinstance(value, bytes) else str(value).encode()
