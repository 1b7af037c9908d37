"""The mappings among a project's files: all of them for lint, one of them for an import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from engine.definitions.mapping import FOLDER, ImportMapping
from engine.definitions.mapping_file import MAPPING
from engine.definitions.report import Report
from engine.definitions.values import ID
from engine.definitions.yaml_nodes import read_yaml
from engine.errors import DefinitionsError, Position, YanshuError, did_you_mean


def check_mappings(files: Mapping[str, str], report: Report) -> None:
    """Report what is wrong with any of them."""
    for path in sorted(_paths(files)):
        _parse(path, files[path], report)


def load_mapping(files: Mapping[str, str], name: str) -> ImportMapping:
    """The mapping of this name. Raises YanshuError where there is none, DefinitionsError where it is not sound."""
    path = f"{FOLDER}/{name}.yaml"
    if path not in files:
        names = sorted(PurePosixPath(other).stem for other in _paths(files))
        known = f"; known: {', '.join(names)}" if names else f"; {FOLDER}/ holds none"
        raise YanshuError(f"no mapping {name!r}{did_you_mean(name, names) or known}")
    report = Report()
    mapping = _parse(path, files[path], report)
    if mapping is None:
        raise DefinitionsError(report.problems)
    return mapping


def _paths(files: Mapping[str, str]) -> list[str]:
    return [path for path in files if PurePosixPath(path).parts[0] == FOLDER]


def _parse(path: str, text: str, report: Report) -> ImportMapping | None:
    mapping = None
    with report.bounded() as found:
        name = PurePosixPath(path)
        if len(name.parts) > 2 or name.suffix != ".yaml" or not re.fullmatch(ID, name.stem):
            message = f"a mapping is {FOLDER}/NAME.yaml, NAME of a-z, 0-9 and -"
            found.error(Position(path), message, "file-name")
        node = read_yaml(path, text, found)
        if node is not None:
            mapping = MAPPING.read(node, found)
        elif not found.errors:
            found.error(Position(path), "the file is empty", "missing-key")
    return None if found.errors else mapping
