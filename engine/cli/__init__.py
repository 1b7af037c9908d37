"""The `yanshu` command: one file per group of verbs. Parses, calls, answers; heavy modules load inside commands."""

from __future__ import annotations


def main() -> int:
    """The entry point: run `sys.argv` and hand back the exit code (0 fine, 1 error, 64 usage)."""
    from engine.imports import collect_when_loaded, without_plugins

    collect_when_loaded()
    without_plugins()
    from engine.cli.app import run_and_flush

    return run_and_flush()
