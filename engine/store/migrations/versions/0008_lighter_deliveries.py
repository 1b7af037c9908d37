"""Addresses that customers had before, in place of an index of all deliveries by their addresses' hashes; and no
Message-ID in the row: it is the public id and the sender's domain

Revision: 0008
Follows: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from engine.store.types import BigId

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_ADMITTED = sa.text("admitted_at IS NOT NULL")
_HASHES = ("email_hash", "phone_hash")
_WRITTEN_TO = """\
INSERT INTO former_addresses (address_hash, customer_id)
SELECT DISTINCT deliveries.address_hash, deliveries.customer_id
FROM deliveries JOIN customers ON customers.id = deliveries.customer_id
WHERE deliveries.address_hash IS NOT NULL
  AND deliveries.address_hash <> coalesce(customers.email_hash, '')
  AND deliveries.address_hash <> coalesce(customers.phone_hash, '')
"""
# Whoever changes the table of customers with `batch_alter_table` on SQLite has to make its triggers again.
_SQLITE = """\
CREATE TRIGGER former_{hash} AFTER UPDATE OF {hash} ON customers
WHEN OLD.{hash} IS NOT NULL AND OLD.{hash} IS NOT NEW.{hash}
BEGIN
    INSERT INTO former_addresses (address_hash, customer_id) VALUES (OLD.{hash}, OLD.id)
    ON CONFLICT DO NOTHING;
END
"""
_POSTGRESQL = (
    """\
CREATE FUNCTION note_former_{hash}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO former_addresses (address_hash, customer_id) VALUES (OLD.{hash}, OLD.id)
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
""",
    """\
CREATE TRIGGER former_{hash} AFTER UPDATE OF {hash} ON customers FOR EACH ROW
WHEN (OLD.{hash} IS NOT NULL AND OLD.{hash} IS DISTINCT FROM NEW.{hash})
EXECUTE FUNCTION note_former_{hash}()
""",
)


def upgrade() -> None:
    op.create_table(
        "former_addresses",
        sa.Column("address_hash", sa.Text, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("address_hash", "customer_id"),
    )
    op.create_index(
        "ix_former_addresses_customer", "former_addresses", ["customer_id"], unique=False
    )
    op.execute(_WRITTEN_TO)
    for name in _HASHES:
        for command in (_SQLITE,) if _is_sqlite() else _POSTGRESQL:
            op.execute(command.format(hash=name))
    op.drop_index("ix_deliveries_address", table_name="deliveries")
    op.drop_column("deliveries", "message_id")


def downgrade() -> None:
    op.add_column("deliveries", sa.Column("message_id", sa.Text, nullable=True))
    op.create_index(
        "ix_deliveries_address", "deliveries", ["address_hash", "admitted_at"],
        unique=False, postgresql_where=_ADMITTED, sqlite_where=_ADMITTED,
    )  # fmt: skip
    for name in _HASHES:
        if _is_sqlite():
            op.execute(f"DROP TRIGGER former_{name}")
        else:
            op.execute(f"DROP TRIGGER former_{name} ON customers")
            op.execute(f"DROP FUNCTION note_former_{name}()")
    op.drop_index("ix_former_addresses_customer", table_name="former_addresses")
    op.drop_table("former_addresses")


def _is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"
