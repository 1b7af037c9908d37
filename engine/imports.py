"""Loading heavy libraries: without those parts of them that Yanshu never uses, and without looking for garbage in them."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

_OBJECTS = 50_000
"""Python's own figure is 700: made for programs that are smaller than our libraries."""


def rarely_collect() -> None:
    """Look for garbage less often, from the start of a process. Loading makes a hundred thousand objects that stay; to
    walk through them again and again takes a tenth of a command's time, and 3 % of a worker's."""
    gc.set_threshold(_OBJECTS)


def without(name: str) -> AbstractContextManager[None]:
    """Meanwhile `import NAME` fails as if it were not installed, for a library that only takes it where it finds it.

    Has no effect where it is loaded already.
    """
    return _in_place_of(name, None)


def postponed(name: str) -> AbstractContextManager[None]:
    """What is imported meanwhile gets a module that is loaded when something of it is used: for a library that insists
    on importing what, the way we call it, it never uses. Has no effect where it is loaded already."""
    return _in_place_of(name, _Postponed(name))


@contextmanager
def _in_place_of(name: str, module: ModuleType | None) -> Iterator[None]:
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = module
    try:
        yield
    finally:
        del modules[name]


class _Postponed(ModuleType):
    """(importlib's LazyLoader is not up to it: an import asks a loaded module for its `__spec__`, and that loads it.)"""

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self.__name__), attribute)
