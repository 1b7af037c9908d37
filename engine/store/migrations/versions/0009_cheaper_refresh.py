"""What one more order costs: affinities in one tree on SQLite, less of them in indexes, and sums read from an index

Revision: 0009
Follows: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from engine.store.types import BigId, Moment

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_CLICKED, _CATEGORY, _BRAND = (
    sa.text("clicks > 0"),
    sa.text("kind = 'category'"),
    sa.text("kind = 'brand'"),
)
_MOVED = """\
INSERT INTO affinities
    (customer_id, kind, name, orders, quantity, amount, clicks, first_at, last_at, cycle_seconds, times)
SELECT customer_id, kind, name, orders, quantity, amount, clicks, first_at, last_at, cycle_seconds, times
FROM affinities_before ORDER BY customer_id, kind, name
"""


def upgrade() -> None:
    op.drop_index("ix_orders_customer", table_name="orders")
    op.create_index(
        "ix_orders_customer", "orders", ["customer_id", "placed_at", "id", "status", "currency", "amount"],
        unique=False,
    )  # fmt: skip
    _drop_indexes("ix_affinities_last", "ix_affinities_clicked")
    _lay_down_anew(with_rowid=False)
    op.create_index(
        "ix_affinities_last", "affinities", ["name", "last_at"],
        unique=False, postgresql_where=_CATEGORY, sqlite_where=_CATEGORY,
    )  # fmt: skip
    op.create_index(
        "ix_affinities_brand", "affinities", ["name"],
        unique=False, postgresql_where=_BRAND, sqlite_where=_BRAND,
    )  # fmt: skip
    _index_clicked()


def downgrade() -> None:
    _drop_indexes("ix_affinities_last", "ix_affinities_brand", "ix_affinities_clicked")
    _lay_down_anew(with_rowid=True)
    op.create_index("ix_affinities_last", "affinities", ["kind", "name", "last_at"], unique=False)
    _index_clicked()
    op.drop_index("ix_orders_customer", table_name="orders")
    op.create_index("ix_orders_customer", "orders", ["customer_id", "placed_at"], unique=False)


def _drop_indexes(*names: str) -> None:
    for name in names:
        op.drop_index(name, table_name="affinities")


def _index_clicked() -> None:
    op.create_index(
        "ix_affinities_clicked", "affinities", ["customer_id"],
        unique=False, postgresql_where=_CLICKED, sqlite_where=_CLICKED,
    )  # fmt: skip


def _lay_down_anew(*, with_rowid: bool) -> None:
    """On SQLite a table with a key of its own is two trees: the rows by number, and the key with the number."""
    if op.get_bind().dialect.name != "sqlite":
        return
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
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("customer_id", "kind", "name"),
        sqlite_with_rowid=with_rowid,
    )
    op.execute(_MOVED)
    op.drop_table("affinities_before")
