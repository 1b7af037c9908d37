"""The first schema

Revision: 0001
Follows:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from engine.store.types import BigId, Json, Moment

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=True),
        sa.Column("data", Json, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "consents",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("wording", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.create_index(
            "ix_consents_current", ["address_hash", "channel", "class", "id"], unique=False
        )

    op.create_table(
        "coupon_pools",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "customers",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_hash", sa.Text(), nullable=True),
        sa.Column("email_domain", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("phone_hash", sa.Text(), nullable=True),
        sa.Column("phone_valid_until", Moment(), nullable=True),
        sa.Column("gender", sa.Text(), nullable=True),
        sa.Column("birthday", sa.Text(), nullable=True),
        sa.Column("birthday_month", BigId, nullable=True),
        sa.Column("birthday_day", BigId, nullable=True),
        sa.Column("birthday_calendar", sa.Text(), nullable=True),
        sa.Column("timezone", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("province", sa.Text(), nullable=True),
        sa.Column("city", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=True),
        sa.Column("joined_at", Moment(), nullable=True),
        sa.Column("malicious", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("attributes", Json, nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("ref"),
    )
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.create_index(
            "ix_customers_birthday", ["birthday_month", "birthday_day"], unique=False
        )
        batch_op.create_index("ix_customers_email_hash", ["email_hash"], unique=False)
        batch_op.create_index("ix_customers_phone_hash", ["phone_hash"], unique=False)

    op.create_table(
        "definitions",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("files", Json, nullable=False),
        sa.Column("current", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("git_commit", sa.Text(), nullable=True),
        sa.Column("applied_at", Moment(), nullable=False),
        sa.Column("applied_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("kind", "name", "digest"),
    )
    with op.batch_alter_table("definitions", schema=None) as batch_op:
        batch_op.create_index(
            "ix_definitions_current",
            ["kind", "name"],
            unique=True,
            postgresql_where=sa.text("current"),
            sqlite_where=sa.text("current"),
        )

    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("epoch", BigId, nullable=False),
        sa.Column("expires", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "links",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("number", BigId, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("personal", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest", "number"),
    )
    op.create_table(
        "pauses",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("target"),
    )
    op.create_table(
        "products",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("image", sa.Text(), nullable=True),
        sa.Column("price", BigId, nullable=True),
        sa.Column("attributes", Json, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sku"),
    )
    op.create_table(
        "rate_states",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("updated_at", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "runs",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("priority", BigId, nullable=False),
        sa.Column("starts_at", Moment(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("expanded_at", Moment(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("done_at", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("definition", "occurrence"),
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index("ix_runs_state", ["state"], unique=False)

    op.create_table(
        "suppressions",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("address_hash", "channel"),
    )
    op.create_table(
        "zone_offsets",
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("from_epoch", BigId, autoincrement=False, nullable=False),
        sa.Column("to_epoch", BigId, nullable=False),
        sa.Column("seconds", BigId, nullable=False),
        sa.PrimaryKeyConstraint("zone", "from_epoch"),
    )
    op.create_table(
        "contacts",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("customer_id", "channel", "class", "at"),
    )
    op.create_table(
        "coupons",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("pool_id", BigId, nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("delivery_id", BigId, nullable=True),
        sa.Column("assigned_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["pool_id"], ["coupon_pools.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("pool_id", "code"),
    )
    with op.batch_alter_table("coupons", schema=None) as batch_op:
        batch_op.create_index("ix_coupons_delivery", ["delivery_id"], unique=True)

    op.create_table(
        "deliveries",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("public_id", sa.Text(), nullable=False),
        sa.Column("run_id", BigId, nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("anchor", sa.Text(), nullable=False),
        sa.Column("order_id", BigId, nullable=True),
        sa.Column("event_id", BigId, nullable=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("priority", BigId, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("due_at", Moment(), nullable=False),
        sa.Column("next_at", Moment(), nullable=False),
        sa.Column("not_after", Moment(), nullable=False),
        sa.Column("deferrals", BigId, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("channel_index", BigId, nullable=False),
        sa.Column("address_hash", sa.Text(), nullable=True),
        sa.Column("email_domain", sa.Text(), nullable=True),
        sa.Column("admitted_at", Moment(), nullable=True),
        sa.Column("send_at", Moment(), nullable=True),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("enqueued_at", Moment(), nullable=True),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("attempts", BigId, nullable=False),
        sa.Column("first_attempt_at", Moment(), nullable=True),
        sa.Column("message_id", sa.Text(), nullable=True),
        sa.Column("sent_at", Moment(), nullable=True),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.Column("parts", BigId, nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting','planned','queued','sending','sent','failed','uncertain','skipped','cancelled','holdout')",
            name="known_state",
        ),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("definition", "step", "customer_id", "anchor"),
        sa.UniqueConstraint("public_id"),
    )
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.create_index(
            "ix_deliveries_address",
            ["address_hash", "admitted_at"],
            unique=False,
            postgresql_where=sa.text("admitted_at IS NOT NULL"),
            sqlite_where=sa.text("admitted_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_deliveries_batch",
            ["batch"],
            unique=False,
            postgresql_where=sa.text("batch IS NOT NULL"),
            sqlite_where=sa.text("batch IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_deliveries_contacts",
            ["customer_id", "admitted_at"],
            unique=False,
            postgresql_where=sa.text("admitted_at IS NOT NULL"),
            sqlite_where=sa.text("admitted_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_deliveries_due",
            ["run_id", "next_at", "id"],
            unique=False,
            postgresql_where=sa.text("state = 'planned'"),
            sqlite_where=sa.text("state = 'planned'"),
        )
        batch_op.create_index(
            "ix_deliveries_next",
            ["next_at"],
            unique=False,
            postgresql_where=sa.text("state = 'planned'"),
            sqlite_where=sa.text("state = 'planned'"),
        )
        batch_op.create_index(
            "ix_deliveries_open",
            ["customer_id", "not_after"],
            unique=False,
            postgresql_where=sa.text("state IN ('planned', 'waiting')"),
            sqlite_where=sa.text("state IN ('planned', 'waiting')"),
        )
        batch_op.create_index("ix_deliveries_run", ["run_id", "state"], unique=False)
        batch_op.create_index(
            "ix_deliveries_volume",
            ["admitted_at"],
            unique=False,
            postgresql_where=sa.text("admitted_at IS NOT NULL"),
            sqlite_where=sa.text("admitted_at IS NOT NULL"),
        )

    op.create_table(
        "events",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("ref"),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index("ix_events_customer", ["customer_id", "kind", "at"], unique=False)
        batch_op.create_index("ix_events_kind", ["kind", "at"], unique=False)

    op.create_table(
        "grade_changes",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("customer_id", "at"),
    )
    op.create_table(
        "memberships",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("level", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("starts_at", Moment(), nullable=True),
        sa.Column("expires_at", Moment(), nullable=True),
        sa.Column("claimed_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("memberships", schema=None) as batch_op:
        batch_op.create_index("ix_memberships_customer", ["customer_id"], unique=False)
        batch_op.create_index("ix_memberships_expires", ["expires_at"], unique=False)

    op.create_table(
        "orders",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("placed_at", Moment(), nullable=False),
        sa.Column("paid_at", Moment(), nullable=True),
        sa.Column("shipped_at", Moment(), nullable=True),
        sa.Column("arrived_at", Moment(), nullable=True),
        sa.Column("received_at", Moment(), nullable=True),
        sa.Column("refunded_at", Moment(), nullable=True),
        sa.Column("refunded_amount", BigId, nullable=True),
        sa.Column("amount", BigId, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("quantity", BigId, nullable=True),
        sa.Column("coupon", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("attributes", Json, nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("ref"),
    )
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.create_index(
            "ix_orders_arrived",
            ["arrived_at"],
            unique=False,
            postgresql_where=sa.text("arrived_at IS NOT NULL"),
            sqlite_where=sa.text("arrived_at IS NOT NULL"),
        )
        batch_op.create_index("ix_orders_customer", ["customer_id", "placed_at"], unique=False)
        batch_op.create_index(
            "ix_orders_paid",
            ["paid_at"],
            unique=False,
            postgresql_where=sa.text("paid_at IS NOT NULL"),
            sqlite_where=sa.text("paid_at IS NOT NULL"),
        )
        batch_op.create_index("ix_orders_placed", ["placed_at"], unique=False)
        batch_op.create_index(
            "ix_orders_received",
            ["received_at"],
            unique=False,
            postgresql_where=sa.text("received_at IS NOT NULL"),
            sqlite_where=sa.text("received_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_orders_refunded",
            ["refunded_at"],
            unique=False,
            postgresql_where=sa.text("refunded_at IS NOT NULL"),
            sqlite_where=sa.text("refunded_at IS NOT NULL"),
        )
        batch_op.create_index(
            "ix_orders_shipped",
            ["shipped_at"],
            unique=False,
            postgresql_where=sa.text("shipped_at IS NOT NULL"),
            sqlite_where=sa.text("shipped_at IS NOT NULL"),
        )

    op.create_table(
        "profiles",
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("orders", BigId, nullable=False),
        sa.Column("amount", BigId, nullable=False),
        sa.Column("first_order_at", Moment(), nullable=True),
        sa.Column("last_order_at", Moment(), nullable=True),
        sa.Column("last_order_id", BigId, nullable=True),
        sa.Column("period_orders", BigId, nullable=False),
        sa.Column("period_amount", BigId, nullable=False),
        sa.Column("r", BigId, nullable=True),
        sa.Column("f", BigId, nullable=True),
        sa.Column("m", BigId, nullable=True),
        sa.Column("value", BigId, nullable=True),
        sa.Column("grade", sa.Text(), nullable=True),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("usual_hour", BigId, nullable=True),
        sa.Column("evaluated_at", Moment(), nullable=False),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("customer_id"),
    )
    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.create_index("ix_profiles_grade", ["grade"], unique=False)
        batch_op.create_index("ix_profiles_last_order", ["last_order_at"], unique=False)

    op.create_table(
        "tags",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("dimension", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("tagged_at", Moment(), nullable=False),
        sa.Column("tagged_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("customer_id", "dimension", "value"),
    )
    op.create_table(
        "attempts",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("delivery_id", BigId, nullable=False),
        sa.Column("number", BigId, nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("worker", sa.Text(), nullable=True),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=True),
        sa.Column("reply", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("delivery_id", "number"),
    )
    op.create_table(
        "decisions",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("delivery_id", BigId, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("until", Moment(), nullable=True),
        sa.Column("rule", Json, nullable=False),
        sa.Column("evidence", Json, nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.create_index("ix_decisions_delivery", ["delivery_id", "id"], unique=False)

    op.create_table(
        "engagements",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("delivery_id", BigId, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("link", BigId, nullable=True),
        sa.Column("scanner", sa.Text(), nullable=True),
        sa.Column("dedupe", sa.Text(), nullable=True),
        sa.Column("data", Json, nullable=False),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("delivery_id", "kind", "dedupe"),
    )
    with op.batch_alter_table("engagements", schema=None) as batch_op:
        batch_op.create_index("ix_engagements_at", ["at"], unique=False)
        batch_op.create_index("ix_engagements_delivery", ["delivery_id", "kind"], unique=False)

    op.create_table(
        "order_items",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("order_id", BigId, nullable=False),
        sa.Column("position", BigId, nullable=False),
        sa.Column("sku", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("brand", sa.Text(), nullable=True),
        sa.Column("size", sa.Text(), nullable=True),
        sa.Column("quantity", BigId, nullable=True),
        sa.Column("price", BigId, nullable=True),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("order_id", "position"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("customer_id", BigId, nullable=False),
        sa.Column("delivery_id", BigId, nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("data", Json, nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("done_at", Moment(), nullable=True),
        sa.ForeignKeyConstraint(["customer_id"], ["customers.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["delivery_id"], ["deliveries.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index("ix_tasks_state", ["state"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.drop_index("ix_tasks_state")

    op.drop_table("tasks")
    op.drop_table("order_items")
    with op.batch_alter_table("engagements", schema=None) as batch_op:
        batch_op.drop_index("ix_engagements_delivery")
        batch_op.drop_index("ix_engagements_at")

    op.drop_table("engagements")
    with op.batch_alter_table("decisions", schema=None) as batch_op:
        batch_op.drop_index("ix_decisions_delivery")

    op.drop_table("decisions")
    op.drop_table("attempts")
    op.drop_table("tags")
    with op.batch_alter_table("profiles", schema=None) as batch_op:
        batch_op.drop_index("ix_profiles_last_order")
        batch_op.drop_index("ix_profiles_grade")

    op.drop_table("profiles")
    with op.batch_alter_table("orders", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_orders_shipped",
            postgresql_where=sa.text("shipped_at IS NOT NULL"),
            sqlite_where=sa.text("shipped_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_orders_refunded",
            postgresql_where=sa.text("refunded_at IS NOT NULL"),
            sqlite_where=sa.text("refunded_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_orders_received",
            postgresql_where=sa.text("received_at IS NOT NULL"),
            sqlite_where=sa.text("received_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_orders_placed")
        batch_op.drop_index(
            "ix_orders_paid",
            postgresql_where=sa.text("paid_at IS NOT NULL"),
            sqlite_where=sa.text("paid_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_orders_customer")
        batch_op.drop_index(
            "ix_orders_arrived",
            postgresql_where=sa.text("arrived_at IS NOT NULL"),
            sqlite_where=sa.text("arrived_at IS NOT NULL"),
        )

    op.drop_table("orders")
    with op.batch_alter_table("memberships", schema=None) as batch_op:
        batch_op.drop_index("ix_memberships_expires")
        batch_op.drop_index("ix_memberships_customer")

    op.drop_table("memberships")
    op.drop_table("grade_changes")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index("ix_events_kind")
        batch_op.drop_index("ix_events_customer")

    op.drop_table("events")
    with op.batch_alter_table("deliveries", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_deliveries_volume",
            postgresql_where=sa.text("admitted_at IS NOT NULL"),
            sqlite_where=sa.text("admitted_at IS NOT NULL"),
        )
        batch_op.drop_index("ix_deliveries_run")
        batch_op.drop_index(
            "ix_deliveries_open",
            postgresql_where=sa.text("state IN ('planned', 'waiting')"),
            sqlite_where=sa.text("state IN ('planned', 'waiting')"),
        )
        batch_op.drop_index(
            "ix_deliveries_next",
            postgresql_where=sa.text("state = 'planned'"),
            sqlite_where=sa.text("state = 'planned'"),
        )
        batch_op.drop_index(
            "ix_deliveries_due",
            postgresql_where=sa.text("state = 'planned'"),
            sqlite_where=sa.text("state = 'planned'"),
        )
        batch_op.drop_index(
            "ix_deliveries_contacts",
            postgresql_where=sa.text("admitted_at IS NOT NULL"),
            sqlite_where=sa.text("admitted_at IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_deliveries_batch",
            postgresql_where=sa.text("batch IS NOT NULL"),
            sqlite_where=sa.text("batch IS NOT NULL"),
        )
        batch_op.drop_index(
            "ix_deliveries_address",
            postgresql_where=sa.text("admitted_at IS NOT NULL"),
            sqlite_where=sa.text("admitted_at IS NOT NULL"),
        )

    op.drop_table("deliveries")
    with op.batch_alter_table("coupons", schema=None) as batch_op:
        batch_op.drop_index("ix_coupons_delivery")

    op.drop_table("coupons")
    op.drop_table("contacts")
    op.drop_table("zone_offsets")
    op.drop_table("suppressions")
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.drop_index("ix_runs_state")

    op.drop_table("runs")
    op.drop_table("rate_states")
    op.drop_table("products")
    op.drop_table("pauses")
    op.drop_table("links")
    op.drop_table("leases")
    with op.batch_alter_table("definitions", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_definitions_current",
            postgresql_where=sa.text("current"),
            sqlite_where=sa.text("current"),
        )

    op.drop_table("definitions")
    with op.batch_alter_table("customers", schema=None) as batch_op:
        batch_op.drop_index("ix_customers_phone_hash")
        batch_op.drop_index("ix_customers_email_hash")
        batch_op.drop_index("ix_customers_birthday")

    op.drop_table("customers")
    op.drop_table("coupon_pools")
    with op.batch_alter_table("consents", schema=None) as batch_op:
        batch_op.drop_index("ix_consents_current")

    op.drop_table("consents")
    op.drop_table("audit")
