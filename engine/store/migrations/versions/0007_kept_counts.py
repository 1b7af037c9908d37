"""What a refresh of few customers adds to: which orders were counted, and when those of an affinity were placed

Revision: 0007
Follows: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from engine.store.types import BigId

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_MARKS = ("counted_to", "counted_sum")
_CLICKED = sa.text("clicks > 0")


def upgrade() -> None:
    """Empty: the next refresh of everybody fills them."""
    for name in _MARKS:
        op.add_column("profiles", sa.Column(name, BigId, nullable=True))
    op.add_column("affinities", sa.Column("times", sa.Text, nullable=True))
    op.create_index(
        "ix_affinities_clicked", "affinities", ["customer_id"],
        unique=False, postgresql_where=_CLICKED, sqlite_where=_CLICKED,
    )  # fmt: skip


def downgrade() -> None:
    op.drop_index("ix_affinities_clicked", table_name="affinities")
    op.drop_column("affinities", "times")
    for name in _MARKS:
        op.drop_column("profiles", name)
