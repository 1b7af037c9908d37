"""COPY of a file of orders into a staging table as it stands, then one upsert in SQL into the shop's own table."""

import time
from pathlib import Path

from sqlalchemy import Connection

_STAGING = """\
CREATE TEMPORARY TABLE staging
(id text, customer_id text, status text, placed_at timestamp, amount numeric, quantity bigint, coupon text)
ON COMMIT DROP
"""
_COPY = "COPY staging FROM STDIN WITH (FORMAT csv, HEADER)"
_UPSERT = """\
INSERT INTO orders (ref, customer_id, status, placed_at, paid_at, received_at, amount, currency, quantity, coupon, attributes)
SELECT s.id, c.id, s.status, s.at, CASE s.status WHEN 'paid' THEN s.at END, CASE s.status WHEN 'received' THEN s.at END,
       s.smallest, 'CNY', s.quantity, s.coupon, '{}'
FROM (SELECT *, placed_at AT TIME ZONE 'Asia/Shanghai' AS at, CAST(amount * 100 AS bigint) AS smallest FROM staging) AS s
JOIN customers AS c ON c.ref = s.customer_id
ON CONFLICT (ref) DO UPDATE
SET customer_id = excluded.customer_id, status = excluded.status, placed_at = excluded.placed_at,
    paid_at = coalesce(excluded.paid_at, orders.paid_at), received_at = coalesce(excluded.received_at, orders.received_at),
    amount = excluded.amount, quantity = excluded.quantity, coupon = excluded.coupon
WHERE (orders.customer_id, orders.status, orders.placed_at, orders.amount, orders.quantity, orders.coupon)
   IS DISTINCT FROM
      (excluded.customer_id, excluded.status, excluded.placed_at, excluded.amount, excluded.quantity, excluded.coupon)
"""


def seconds(connection: Connection, source: Path) -> float:
    """How long it takes; `connection` is in a transaction, whose commit the caller adds."""
    started = time.perf_counter()
    connection.exec_driver_sql(_STAGING)
    driver = connection.connection.driver_connection
    with driver.cursor() as cursor, source.open("rb") as file, cursor.copy(_COPY) as copy:  # type: ignore[union-attr]
        while block := file.read(1 << 20):
            copy.write(block)
    connection.exec_driver_sql(_UPSERT)
    return time.perf_counter() - started
