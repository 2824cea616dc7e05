"""When to try again, and how long to wait before."""

import random
import time
from dataclasses import dataclass
from typing import Callable, Optional, TypeVar

from .errors import TtsForeignAnswer, TtsProblem, TtsUnreachable

Result = TypeVar("Result")

MAX_PAUSE_SECONDS = 30.0

# The statuses after which the service says that the same request may succeed later.
RETRIED_PROBLEMS = (408, 429, 503)
# Those of a gateway that does not reach the service.
RETRIED_GATEWAY = (502, 503, 504)


@dataclass(frozen=True)
class Waiting:
    """Clock and pause; replaceable for tests."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


def with_retry(
    attempt: Callable[[float], Result],
    *,
    deadline_seconds: float,
    repeatable: bool,
    waiting: Waiting,
) -> Result:
    """Runs attempts until one succeeds, cannot succeed, or the next one would begin after the deadline.

    Then the last error is raised. The pause is what `Retry-After` says, if it is not 0, otherwise 1 to 30 seconds,
    doubling, and up to twice as long by chance, so that clients that failed together do not come back together.

    `attempt` gets the time that is left, in seconds. `repeatable`: whether the request may be sent again although the
    service may have done it.
    """
    end = waiting.now() + deadline_seconds
    pause = 1.0
    while True:
        try:
            return attempt(end - waiting.now())
        except (TtsProblem, TtsForeignAnswer, TtsUnreachable) as error:
            if not _may_retry(error, repeatable):
                raise
            told: Optional[int] = getattr(error, "retry_after_seconds", None)
            wait = float(told or pause * (1 + waiting.random()))
            if waiting.now() + wait >= end:
                raise
        waiting.sleep(wait)
        pause = min(MAX_PAUSE_SECONDS, pause * 2)


def _may_retry(error: Exception, repeatable: bool) -> bool:
    if isinstance(error, TtsProblem):
        return error.status in RETRIED_PROBLEMS
    if isinstance(error, TtsForeignAnswer):
        return repeatable and error.status in RETRIED_GATEWAY
    return repeatable
