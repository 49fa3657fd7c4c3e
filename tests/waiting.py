"""Waiting for what something else brings about: until a deadline, never for a fixed time."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

DEADLINE_S = 30.0
PAUSE_S = 0.01


def await_condition(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Return the first true value of `condition`; fail the test when none comes in time."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(PAUSE_S)
    pytest.fail(f"not within {deadline_s} s: {what}")


async def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Wait as `await_condition` does, while the loop goes on."""
    try:
        async with asyncio.timeout(deadline_s):
            while not (value := condition()):
                await asyncio.sleep(PAUSE_S)
    except TimeoutError:
        pytest.fail(f"not within {deadline_s} s: {what}")
    return value
