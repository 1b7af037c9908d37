"""Getting deliveries out: dispatch (admit through the gate), send (claim, render, hand over, record), recover."""

from engine.imports import without

# structlog takes rich where it finds it, for tracebacks in colour that our logs do not have: 5 MiB, and slow to load.
with without("rich"):
    import structlog as structlog
