"""What `lint` looks at, put together: definitions, then the templates that they use; and where a path leads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.context import Session
from engine.errors import DefinitionsError, Problem, YanshuError
from engine.settings import PROJECT_FILE

if TYPE_CHECKING:
    from engine.definitions.loader import Definitions


def find_problems(session: Session) -> list[Problem]:
    """Every problem of the project's files, in file order."""
    from engine.definitions.loader import check
    from engine.definitions.providers import check_providers
    from engine.rendering.lint import check_templates

    try:
        files = session.files
    except DefinitionsError as error:  # a file that is no text: nothing else can be said
        return list(error.problems)
    definitions, problems = check(files)
    if definitions is not None:
        providers = check_providers(definitions.policy, session.settings.providers().values())
        return sorted({*problems, *providers, *check_templates(definitions, session.settings)})
    sound = _sound_part(files, problems)
    # Of a part only errors count: a template may look unused because the file that uses it was left out.
    templates = check_templates(sound, session.settings) if sound else []
    return sorted({*problems, *(one for one in templates if one.severity == "error")})


def _sound_part(files: Mapping[str, str], problems: Sequence[Problem]) -> Definitions | None:
    """What is left without the files that have errors, and without those that need them: so that a slip in one
    definition does not hide what is wrong with the templates of the others."""
    from engine.definitions.loader import check

    rest, definitions = dict(files), None
    while definitions is None:
        broken = {one.position.file for one in problems if one.severity == "error"} & set(rest)
        if not broken:
            return None
        rest = {path: text for path, text in rest.items() if path not in broken}
        definitions, problems = check(rest)
    return definitions


def only_in(session: Session, problems: list[Problem], paths: Sequence[Path]) -> list[Problem]:
    """The problems in these files and folders (of all, where none is named). Raises YanshuError for a bad path."""
    if not paths:
        return problems
    wanted = [_inside(session.project, path) for path in paths]
    return [
        problem
        for problem in problems
        if any(Path(problem.position.file).is_relative_to(path) for path in wanted)
    ]


def _inside(project: Path, path: Path) -> Path:
    """The path seen from the project's root, whether it was written from here or from there."""
    for candidate in (Path.cwd() / path, project / path):
        if candidate.exists():
            try:
                return candidate.resolve().relative_to(project)
            except ValueError:
                raise YanshuError(f"{path}: not in the project {project}") from None
    raise YanshuError(f"{path}: no such file")


def project_of(path: Path) -> Path | None:
    """The project that a path lies in, or None."""
    here = path.resolve()
    return next((p for p in (here, *here.parents) if (p / PROJECT_FILE).is_file()), None)


def annotation(problem: Problem, root: str = "") -> str:
    """A problem as a GitHub Actions workflow command, which shows it on the pull request's line.

    >>> from engine.errors import Position
    >>> annotation(Problem(Position("care/a.yaml", 3, 5), "50% off: no", "x"), "shop/")
    '::error file=shop/care/a.yaml,line=3,col=5,title=x::50%25 off: no'
    """
    place = problem.position
    return (
        f"::{problem.severity} file={_property(root + place.file)},line={place.line}"
        f",col={place.column},title={_property(problem.code)}::{_data(problem.message)}"
    )


def root_for_annotations(project: Path) -> str:
    """What stands before a file's path so that it counts from the repository's root: `shop/`, or nothing."""
    workspace = os.environ.get("GITHUB_WORKSPACE")
    if not workspace or not project.is_relative_to(workspace):
        return ""
    inner = project.relative_to(workspace).as_posix()
    return "" if inner == "." else f"{inner}/"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
