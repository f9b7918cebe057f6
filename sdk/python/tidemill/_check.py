"""What is handed to the host is looked at here: what the contract cannot hold would end the instance without a word."""

import inspect
from collections.abc import Callable, Iterable, Mapping

U32_MAX = 2**32 - 1
U64_MAX = 2**64 - 1


def valid(message: object) -> str:
    """A text for people as UTF-8 can hold it: halves of surrogates are replaced."""
    text = str(message)
    return text if text.isascii() else text.encode(errors="replace").decode()


def text(what: str, value: object) -> str:
    """The value, which has to be text."""
    if not isinstance(value, str):
        raise _unexpected(what, "text", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"{what}: it holds half a surrogate, which is no text: {value!a:.80}") from error
    return value


def text_or_none(what: str, value: object) -> str | None:
    """The value, which has to be text where there is one."""
    return None if value is None else text(what, value)


def texts(what: str, values: Iterable[str]) -> list[str]:
    """The values, each of which has to be text. One text is a row of letters, and never meant so."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise _unexpected(what, "a list of texts", values)
    return [text(what, value) for value in values]


def pairs(what: str, values: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """Keys and values, which have to be text."""
    if values is not None and not isinstance(values, Mapping):
        raise _unexpected(what, "texts by their keys", values)
    return [(text(what, key), text(f"{what}, `{key}`", value)) for key, value in (values or {}).items()]


def whole(what: str, value: object, most: int) -> int:
    """The value, which has to be a whole number up to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _unexpected(what, f"a whole number from 0 to {most}", value)
    return int(value)


def octets(what: str, value: object) -> bytes:
    """The value, which has to be bytes."""
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise _unexpected(what, "bytes", value)
    return bytes(value)


def function(called: Callable, *, may_yield: bool = False) -> None:
    """Refuses a function that does nothing when it is called: what it is made of would never run."""
    name = getattr(called, "__qualname__", repr(called))
    if inspect.iscoroutinefunction(called) or inspect.isasyncgenfunction(called):
        raise TypeError(f"`{name}` is an `async def`, and nothing waits for it: write `def`, without `await`")
    if inspect.isgeneratorfunction(called) and not may_yield:
        raise TypeError(f"`{name}` has a `yield`, so calling it runs nothing of it: write it without")


def _unexpected(what: str, wanted: str, value: object) -> TypeError:
    return TypeError(f"{what}: expected {wanted}, but it is {value!a:.80}")
