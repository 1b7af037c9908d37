"""Indexes of when things happened: what triggers ask every quarter of a minute must not read everybody

Revision: 0003
Follows: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_INDEXES = {
    "ix_customers_joined": ("customers", ["joined_at"]),
    "ix_profiles_first_order": ("profiles", ["first_order_at"]),
    "ix_tags_added": ("tags", ["dimension", "tagged_at"]),
    "ix_memberships_starts": ("memberships", ["starts_at"]),
    "ix_affinities_last": ("affinities", ["kind", "name", "last_at"]),
}


def upgrade() -> None:
    for name, (table, columns) in _INDEXES.items():
        op.create_index(name, table, columns, unique=False)


def downgrade() -> None:
    for name, (table, _) in _INDEXES.items():
        op.drop_index(name, table_name=table)
