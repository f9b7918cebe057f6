"""What is to become of an event that was not handled."""

from componentize_py_types import Err
from wit_world.imports import types

from . import _check


class Failure(Exception):
    """Raised by a handler: why its event was not handled. Raise one of the classes below."""

    def verdict(self) -> types.Verdict:
        raise NotImplementedError


class Reject(Failure):
    """The event is bad and always will be: it becomes a dead letter at once."""

    def verdict(self) -> types.Verdict:
        return types.Verdict_Reject()


class Retry(Failure):
    """The world is not ready: try again, after so many milliseconds or by the manifest's backoff."""

    def __init__(self, reason: str, after_ms: int | None = None):
        super().__init__(reason)
        self.after_ms = None if after_ms is None else _check.whole("after_ms", after_ms, _check.U64_MAX)

    def verdict(self) -> types.Verdict:
        return types.Verdict_Retry(self.after_ms)


class Stop(Failure):
    """The plugin must not go on: it stops before this event until an operator acts."""

    def verdict(self) -> types.Verdict:
        return types.Verdict_Stop()


def raised(answer: object) -> object:
    """What a function answered. A failure that it returned was meant to be raised."""
    if isinstance(answer, Exception):
        raise answer
    return answer


def to_failure(error: Exception) -> Failure:
    """Any exception as a failure.

    A mistake in the handler is a retry: after a few attempts the event is set aside with the traceback,
    and the instance lives on.
    """
    if isinstance(error, Failure):
        return error
    if isinstance(error, Err):
        return _of_host_error(error.value)
    return Retry(_traceback(error))


def _traceback(error: Exception) -> str:
    """As `traceback` has it, without the lines of source: there are no files to read them from."""
    lines = [f"{type(error).__name__}: {error}"]
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        lines.append(f"  at {code.co_qualname} ({code.co_filename}:{frame.tb_lineno})")
        frame = frame.tb_next
    return "\n".join(lines)


def _of_host_error(error: types.HostError) -> Failure:
    text = str(getattr(error, "value", error))
    if isinstance(error, types.HostError_Invalid):
        return Reject(text)  # comes from this event's data, and will come again
    if isinstance(error, types.HostError_Denied):
        return Stop(text)  # installed wrongly: the events are not to blame
    return Retry(text)  # may pass
