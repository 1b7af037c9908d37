"""Affinities without a foreign key: PostgreSQL looked up and locked the customer of each, a third of a first count

Revision: 0010
Follows: 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from engine.store.types import BigId, Moment

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_CLICKED, _CATEGORY, _BRAND = (
    sa.text("clicks > 0"),
    sa.text("kind = 'category'"),
    sa.text("kind = 'brand'"),
)
_INDEXES = (
    ("ix_affinities_last", ["name", "last_at"], _CATEGORY),
    ("ix_affinities_brand", ["name"], _BRAND),
    ("ix_affinities_clicked", ["customer_id"], _CLICKED),
)
_MOVED = """\
INSERT INTO affinities
    (customer_id, kind, name, orders, quantity, amount, clicks, first_at, last_at, cycle_seconds, times)
SELECT customer_id, kind, name, orders, quantity, amount, clicks, first_at, last_at, cycle_seconds, times
FROM affinities_before ORDER BY customer_id, kind, name
"""
_KEY = (["customer_id"], ["customers.id"])


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        _lay_down_anew()
    else:
        op.drop_constraint("affinities_customer_id_fkey", "affinities", type_="foreignkey")


def downgrade() -> None:
    op.execute("DELETE FROM affinities WHERE customer_id NOT IN (SELECT id FROM customers)")
    if op.get_bind().dialect.name == "sqlite":
        _lay_down_anew(sa.ForeignKeyConstraint(*_KEY, ondelete="CASCADE"))
    else:
        op.create_foreign_key(
            "affinities_customer_id_fkey", "affinities", "customers", ["customer_id"], ["id"], ondelete="CASCADE"
        )  # fmt: skip


def _lay_down_anew(*more: sa.ForeignKeyConstraint) -> None:
    """SQLite takes no constraint away from a table."""
    for name, _, _ in _INDEXES:
        op.drop_index(name, table_name="affinities")
    op.rename_table("affinities", "affinities_before")
    op.create_table(
        "affinities",
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("orders", BigId, nullable=False),
        sa.Column("quantity", BigId, nullable=False),
        sa.Column("amount", BigId, nullable=False),
        sa.Column("clicks", BigId, nullable=False),
        sa.Column("first_at", Moment(), nullable=True),
        sa.Column("last_at", Moment(), nullable=True),
        sa.Column("cycle_seconds", BigId, nullable=True),
        sa.Column("times", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("customer_id", "kind", "name"),
        *more,
        sqlite_with_rowid=False,
    )
    op.execute(_MOVED)
    op.drop_table("affinities_before")
    for name, columns, where in _INDEXES:
        op.create_index(name, "affinities", columns, unique=False, sqlite_where=where)
