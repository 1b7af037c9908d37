"""Python's collector of cycles, put aside while there are many rows and no cycles."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collector() -> Iterator[None]:
    """Rows make no cycles, but hundreds of thousands of lists and tuples: looking through them for cycles took 30 % of an
    import's time, and 10 % of a refresh of few. Who goes on for long looks now and then himself (`batches`)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
