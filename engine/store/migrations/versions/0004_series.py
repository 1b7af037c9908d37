"""Series: which step a delivery follows, whether one waits for its end, and in which wording it went

Revision: 0004
Follows: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = (("parent_step", sa.Text), ("followed", sa.Boolean), ("variant", sa.Text))
_INDEXES = {
    "ix_deliveries_followed": (["ended_at"], "followed IS NOT NULL AND ended_at IS NOT NULL"),
    "ix_deliveries_later": (["run_id", "step", "state"], "parent_step IS NOT NULL"),
}


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("deliveries", sa.Column(name, kind(), nullable=True))
    for name, (columns, condition) in _INDEXES.items():
        op.create_index(
            name, "deliveries", columns, unique=False,
            postgresql_where=sa.text(condition), sqlite_where=sa.text(condition),
        )  # fmt: skip


def downgrade() -> None:
    for name in _INDEXES:
        op.drop_index(name, table_name="deliveries")
    for name, _ in _COLUMNS:
        op.drop_column("deliveries", name)
