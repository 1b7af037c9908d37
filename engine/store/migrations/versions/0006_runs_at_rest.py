"""Runs: an index of all their deliveries, and one of those at rest, in place of one that every message moves in

Revision: 0006
Follows: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_AT_REST = sa.text("state NOT IN ('planned', 'queued', 'sending')")


def upgrade() -> None:
    op.drop_index("ix_deliveries_run", table_name="deliveries")
    op.create_index("ix_deliveries_run", "deliveries", ["run_id"], unique=False)
    op.create_index(
        "ix_deliveries_at_rest", "deliveries", ["run_id", "state"], unique=False,
        postgresql_where=_AT_REST, sqlite_where=_AT_REST,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_deliveries_at_rest", table_name="deliveries")
    op.drop_index("ix_deliveries_run", table_name="deliveries")
    op.create_index("ix_deliveries_run", "deliveries", ["run_id", "state"], unique=False)
