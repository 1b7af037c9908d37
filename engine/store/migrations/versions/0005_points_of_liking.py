"""Affinities: the points of all that a customer likes stand in the profile, and a score is worked out where it is asked

Revision: 0005
Follows: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from engine.store.types import BigId

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_POINTS = {"category": "category_points", "brand": "brand_points"}
_ADDED_UP = """\
UPDATE profiles SET {column} = (SELECT CAST(sum(5 * a.orders + a.clicks) AS BIGINT) FROM affinities a
                                WHERE a.customer_id = profiles.customer_id AND a.kind = '{kind}')
"""
_SCORED = """\
UPDATE affinities SET score = coalesce((SELECT 1000 * (5 * affinities.orders + affinities.clicks) / p.{column}
                                        FROM profiles p WHERE p.customer_id = affinities.customer_id), 0)
WHERE kind = '{kind}'
"""


def upgrade() -> None:
    for kind, column in _POINTS.items():
        op.add_column("profiles", sa.Column(column, BigId, nullable=True))
        op.execute(_ADDED_UP.format(kind=kind, column=column))
    op.drop_index("ix_affinities_name", table_name="affinities")
    op.drop_column("affinities", "score")


def downgrade() -> None:
    op.add_column("affinities", sa.Column("score", BigId, nullable=False, server_default="0"))
    for kind, column in _POINTS.items():
        op.execute(_SCORED.format(kind=kind, column=column))
        op.drop_column("profiles", column)
    with op.batch_alter_table("affinities") as batch_op:
        batch_op.alter_column("score", server_default=None)
    op.create_index("ix_affinities_name", "affinities", ["kind", "name", "score"], unique=False)
