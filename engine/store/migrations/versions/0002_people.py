"""People: merged ids, rules' tags, affinities, cycles, the steps of a membership

Revision: 0002
Follows: 0001
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from engine.store.types import BigId, Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "category_cycles",
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("gaps", BigId, nullable=False),
        sa.Column("cycle_seconds", BigId, nullable=False),
        sa.PrimaryKeyConstraint("category"),
    )
    op.create_table(
        "affinities",
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("orders", BigId, nullable=False),
        sa.Column("quantity", BigId, nullable=False),
        sa.Column("amount", BigId, nullable=False),
        sa.Column("clicks", BigId, nullable=False),
        sa.Column("score", BigId, nullable=False),
        sa.Column("first_at", Moment(), nullable=True),
        sa.Column("last_at", Moment(), nullable=True),
        sa.Column("cycle_seconds", BigId, nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("customer_id", "kind", "name"),
    )
    with op.batch_alter_table("affinities", schema=None) as batch_op:
        batch_op.create_index("ix_affinities_name", ["kind", "name", "score"], unique=False)

    op.create_table(
        "merged_refs",
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("merged_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("ref"),
    )
    with op.batch_alter_table("merged_refs", schema=None) as batch_op:
        batch_op.create_index("ix_merged_refs_customer", ["customer_id"], unique=False)

    with op.batch_alter_table("grade_changes", schema=None) as batch_op:
        batch_op.create_index("ix_grade_changes_at", ["at"], unique=False)

    with op.batch_alter_table("memberships", schema=None) as batch_op:
        batch_op.add_column(sa.Column("called_at", Moment(), nullable=True))
        batch_op.add_column(sa.Column("carded_at", Moment(), nullable=True))
        batch_op.add_column(sa.Column("evaluated_at", Moment(), nullable=True))
        batch_op.add_column(sa.Column("renews_id", BigId, nullable=True))

    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.add_column(sa.Column("usual_hour_confidence", BigId, nullable=True))
        batch_op.add_column(sa.Column("cycle_seconds", BigId, nullable=True))
        batch_op.add_column(sa.Column("stage", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("province", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("city", sa.Text(), nullable=True))

    with op.batch_alter_table("tags", schema=None) as batch_op:
        batch_op.add_column(sa.Column("rule", sa.Text(), nullable=True))
        batch_op.create_index("ix_tags_value", ["dimension", "value", "customer_id"], unique=False)

    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dedupe", sa.Text(), nullable=True))
        batch_op.create_unique_constraint("uq_tasks_dedupe", ["dedupe"])
