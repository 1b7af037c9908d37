"""Loading heavy libraries without what they need for other uses than ours, and without looking for garbage in them."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_OBJECTS = 50_000
"""Python's own figure is 700: made for programs that are smaller than our libraries."""


def rarely_collect() -> None:
    """Look for garbage less often, from the start of a process. Loading makes a hundred thousand objects that stay; to
    walk through them again and again took 4 % of `status` and 16 % of `apply`."""
    gc.set_threshold(_OBJECTS)


@contextmanager
def postponed(name: str) -> Iterator[None]:
    """What is imported meanwhile gets a module that is loaded when something of it is used: for a library that insists
    on importing what, the way we call it, it never uses. Has no effect where it is loaded already."""
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = _Postponed(name)
    try:
        yield
    finally:
        del modules[name]


class _Postponed(ModuleType):
    """(importlib's LazyLoader is not up to it: an import asks a loaded module for its `__spec__`, and that loads it.)"""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self.__name__), attribute)
