"""lint, schema, plan, apply: from files to what is in force."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from engine.cli.context import Session
from engine.cli.frame import verb
from engine.errors import EXIT_CHANGES, EXIT_ERROR, EXIT_FINE, Problem

if TYPE_CHECKING:
    from engine.foresight.plan import Plan

SECTION = "Files"


def register(app: typer.Typer) -> None:
    verb(app, "lint", "yanshu lint", "yanshu lint campaigns/double11.yaml", "yanshu lint --format github", section=SECTION)(lint)  # fmt: skip
    verb(app, "schema", "yanshu schema campaign > campaign.schema.json", section=SECTION)(schema)
    verb(app, "plan", "yanshu plan", "yanshu plan --out plan.json", "yanshu plan --format markdown --days 14", section=SECTION)(plan)  # fmt: skip
    verb(app, "apply", "yanshu apply", "yanshu apply plan.json --yes", section=SECTION)(apply)


def lint(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Show only what is in these files and folders."),
    ] = None,
    style: Annotated[
        Literal["text", "github"],
        typer.Option("--format", help="github: annotations on a pull request."),
    ] = "text",
) -> int:
    """Check every definition and template; all problems at once, exit 1 on an error."""
    from engine.cli.lint import find_problems, only_in, project_of

    session = Session.of(ctx)
    if paths and session.common.project is None:
        session.common.project = project_of(paths[0])
    problems = only_in(session, find_problems(session), paths or [])
    errors = sum(1 for problem in problems if problem.severity == "error")
    warnings = len(problems) - errors
    spell = _annotated if style == "github" else _in_words
    session.answer(
        {"errors": errors, "warnings": warnings, "problems": [_as_json(p) for p in problems]},
        lambda: spell(session, problems),
    )
    counted = f"{_many(errors, 'error')}, {_many(warnings, 'warning')}"
    session.note(counted if problems else "no problems")
    return EXIT_ERROR if errors else EXIT_FINE


def _many(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _in_words(_session: Session, problems: list[Problem]) -> str:
    from engine.pages.terminal import plain

    return "\n".join(plain(problem) for problem in problems)


def _annotated(session: Session, problems: list[Problem]) -> str:
    from engine.cli.lint import annotation, root_for_annotations

    root = root_for_annotations(session.project)
    return "\n".join(annotation(problem, root) for problem in problems)


def _as_json(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.position.file,
        "line": problem.position.line,
        "column": problem.position.column,
        "severity": problem.severity,
        "code": problem.code,
        "message": problem.message,
    }


def plan(
    ctx: typer.Context,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Keep the plan, for `apply FILE`.")
    ] = None,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Exit 2 where there is something to apply.")
    ] = False,
    style: Annotated[
        Literal["text", "markdown"],
        typer.Option("--format", help="markdown: for a comment on a pull request."),
    ] = "text",
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            min=0,
            max=366,
            help="How far the caps are played through; default: the longest window of a cap, 0: not.",
        ),
    ] = None,
) -> int:
    """Show what `apply` would change, who would get what, when, and what each cap takes away."""
    from engine.cli.output import document
    from engine.cli.writing import write_whole

    session = Session.of(ctx)
    made = _make_plan(session, days)
    if out is not None:
        write_whole(out, document(made.as_json()) + "\n")
        session.note(f"kept in {out}; `yanshu apply {out}` makes it so")
    session.answer(made.as_json(), made.as_markdown if style == "markdown" else made.as_text)
    return EXIT_CHANGES if detailed_exitcode and made.has_changes else EXIT_FINE


def _make_plan(session: Session, days: int | None) -> Plan:
    from datetime import timedelta

    from engine.cli.simulating import progress
    from engine.foresight.plan import make_plan
    from engine.planning.expansion import horizon

    definitions, now = session.definitions, session.now()
    span = horizon(definitions.policy) if days is None else timedelta(days=days)
    with progress(session, f"{span.days} days") as told:
        return make_plan(
            session.store, definitions, session.settings, now,
            span=span or None, on_progress=told, keeps=session.is_now,
        )  # fmt: skip


def apply(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A kept plan that must still be true.")
    ] = None,
    in_flight: Annotated[
        Literal["update", "keep", "cancel"],
        typer.Option("--in-flight", help="What becomes of planned messages of what was edited."),
    ] = "update",
    allow_rerun: Annotated[
        bool, typer.Option("--allow-rerun", help="A new date may reach people a second time.")
    ] = False,
) -> int:
    """Put the files in force: from now on they are what is sent."""
    from engine.foresight.apply import apply as put_in_force
    from engine.foresight.apply import require_kept_plan

    session = Session.of(ctx)
    definitions = session.definitions
    if not session.common.yes:
        if file is not None:
            require_kept_plan(session.store, definitions, file)
        made = _make_plan(session, 0)
        session.note(made.as_text())
        if made.has_changes:
            session.confirm("Put this in force?")
    applied = put_in_force(
        session.store,
        definitions,
        session.settings,
        session.now(),
        by=session.by,
        plan_file=file,
        in_flight=in_flight,
        allow_rerun=allow_rerun,
    )
    session.answer(applied.as_json(), applied.as_text)
    return EXIT_FINE


def schema(
    kind: Annotated[
        Literal["campaign", "care", "segment", "policy", "tagging", "membership"] | None,
        typer.Argument(help="Which kind of file; without one: all of them, by kind."),
    ] = None,
) -> int:
    """Print the JSON Schema of a kind of file, for editors."""
    import json

    from engine.definitions.schema import KINDS
    from engine.definitions.schema import schema as describe

    shown = describe(kind) if kind else {name: describe(name) for name in KINDS}
    # A schema is a document of its own: editors would stumble over a key of ours in it.
    typer.echo(json.dumps(shown, ensure_ascii=False, indent=2))
    return EXIT_FINE
