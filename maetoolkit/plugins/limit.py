"""Running what a plugin brings with a limit on its time: a thread that hangs is left behind and holds nothing up."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from typing import Any

from maetoolkit.errors import ConfigError

TIMEOUT, DEFAULT = "MAETOOLKIT_PLUGIN_TIMEOUT", 10.0


class NotFinishedError(TimeoutError):
    """A plugin took longer than it may."""


class InterruptingError(RuntimeError):
    """A plugin raised KeyboardInterrupt, which says nothing of the user: theirs is raised in the main thread."""


class PluginThread(threading.Thread):
    """Runs one function and keeps what it returned or raised; a daemon, so that the interpreter can end without it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(name="maetoolkit plugin", daemon=True)
        self.function = function
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> None:
        """Call it; whatever it raises, even SystemExit, is kept."""
        try:
            self.value = self.function()
        except BaseException as error:
            self.error = error


def within(seconds: float, what: str, function: Callable[[], Any]) -> Any:
    """What a function returns or raises. Raises NotFinishedError where it is not done after so many seconds.

    Its KeyboardInterrupt becomes an InterruptingError, so that one that comes out of here is the user's.
    """
    thread = PluginThread(function)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise NotFinishedError(f"did not finish {what} within {seconds:g} s ({TIMEOUT} sets another limit)")
    if isinstance(thread.error, KeyboardInterrupt):
        interrupting = InterruptingError("raised KeyboardInterrupt")
        raise interrupting.with_traceback(thread.error.__traceback__) from None
    if thread.error is not None:
        raise thread.error
    return thread.value


def time_limit() -> float:
    """Seconds that importing a plugin or calling one of its hooks may take: MAETOOLKIT_PLUGIN_TIMEOUT, or 10.

    Raises ConfigError where the variable is not a number of seconds.
    """
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text) if text else DEFAULT
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise ConfigError(f"{TIMEOUT}: found {text!r}; expected a number of seconds above 0, such as 30")
    return seconds
