"""Callbacks and how to take them back.

Not an event loop: a delivery happens at once, in the order in which the callbacks were added. Invariant: one
callback that fails keeps none of the others from being called; the failure then surfaces, since it is a bug.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Subscription:
    """The right to be called back; ends with `close`, which may be called twice."""

    __slots__ = ("_remove",)

    def __init__(self, remove: Callable[[], None]) -> None:
        self._remove: Callable[[], None] | None = remove

    def close(self) -> None:
        """Stop the callbacks. A delivery that is under way still reaches the callback."""
        remove, self._remove = self._remove, None
        if remove is not None:
            remove()


class Observers(Generic[T]):
    """The callbacks that want values of one kind."""

    __slots__ = ("_callbacks",)

    def __init__(self) -> None:
        self._callbacks: dict[int, Callable[[T], None]] = {}

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def add(self, callback: Callable[[T], None]) -> Subscription:
        """Call ``callback`` with every value from now on."""
        number = max(self._callbacks, default=0) + 1
        self._callbacks[number] = callback

        def remove() -> None:
            del self._callbacks[number]

        return Subscription(remove)

    def deliver(self, value: T) -> None:
        """Call every callback.

        Raises:
            Exception: the one failure of a callback, or an `ExceptionGroup` of several.
        """
        failures: list[Exception] = []
        for callback in list(self._callbacks.values()):
            try:
                callback(value)
            except Exception as error:  # noqa: BLE001 - collected, raised below when all were called
                failures.append(error)
        if len(failures) == 1:
            raise failures[0]
        if failures:
            raise ExceptionGroup("callbacks failed", failures)
