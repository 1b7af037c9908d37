"""May this delivery go now? `Send`, `Defer(until, because)` or `Skip(because)`, each with its rule and evidence."""
