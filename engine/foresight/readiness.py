"""What has to hold, and to be known, of a version before it is put in force: its templates, and the links in them.

All of it is worked out before the transaction that puts it in force: it compiles templates, and on SQLite nobody else can
write meanwhile. What stays in force as it is was looked at when it was applied.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from engine.definitions.loader import Definitions
from engine.definitions.providers import check_providers
from engine.errors import DefinitionsError
from engine.foresight.changes import Wanted
from engine.rendering.email import EmailCompiler
from engine.rendering.lint import check_templates
from engine.settings import Settings
from engine.tokens import Signer


def refuse_broken_templates(
    definitions: Definitions, settings: Settings, touched: Collection[str]
) -> None:
    """Raise DefinitionsError where a template of the definitions `touched` does not hold (`lint` judges all others too),
    or a rule is about a provider that there is not."""
    found = [
        *check_templates(definitions, settings, only=touched),
        *check_providers(definitions.policy, settings.providers().values()),
    ]
    errors = [problem for problem in found if problem.severity == "error"]
    if errors:
        raise DefinitionsError(errors)


def links_of(
    definitions: Definitions,
    settings: Settings,
    new: Mapping[tuple[str, str], Wanted],
    touched: Collection[str],
) -> list[dict[str, Any]]:
    """A row for every link that the emails of these definitions can hold: they stand in the database before the first
    is sent."""
    signer = Signer(settings.signing_keys())
    found = []
    for name, definition in definitions.sendable().items():
        if name not in touched:
            continue
        version = new[definition.kind, name]
        compiler = EmailCompiler(
            settings, signer, version.files, definition, timezone=definitions.policy.timezone
        )
        found += [
            {
                "digest": version.digest,
                "number": link.number,
                "url": link.url,
                "label": link.label,
                "personal": link.personal,
            }
            for link in compiler.links
        ]
    return found
