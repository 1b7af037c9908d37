"""The daemon: broker, actors, scheduler, web and the supervisor that starts them. All decisions are the engine's."""

from engine.imports import without

# As in `engine.delivery`: structlog takes rich where it finds it, for tracebacks in colour that our logs do not have.
with without("rich"):
    import structlog as structlog
