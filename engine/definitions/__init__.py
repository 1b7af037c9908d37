"""Definitions: YAML files → frozen, checked objects, each with its place in the file. Start at `loader`."""
