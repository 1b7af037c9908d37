"""Loading heavy libraries without what they need for other uses than ours, and without looking for garbage in them."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_OBJECTS = 50_000
"""Python's own figure is 700: made for programs that are smaller than our libraries."""


_WHILE_LOADING = 1_000_000
"""More than all libraries of a command make together: while they load, nothing is looked through."""


def rarely_collect() -> None:
    """Look for garbage less often, from the start of a process. Loading makes a hundred thousand objects that stay; to
    walk through them again and again took 4 % of `status` and 16 % of `apply`."""
    gc.set_threshold(_OBJECTS)


def collect_when_loaded() -> None:
    """For a command: as good as never before `all_is_loaded`. Ten looks through what stays took 5 % of `apply`."""
    gc.set_threshold(_WHILE_LOADING)


def all_is_loaded() -> None:
    """What is there now stays, and is not looked through again. Only after `collect_when_loaded`, and once: what is
    garbage at that moment stays too."""
    if gc.get_threshold()[0] == _WHILE_LOADING:
        gc.freeze()
        rarely_collect()


def without_plugins() -> None:
    """Keep Pydantic from reading the metadata of all that is installed, in search of plugins: 2 % of `apply`. Call it
    before Pydantic is loaded; whoever has a plugin sets the variable to an empty text."""
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


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
