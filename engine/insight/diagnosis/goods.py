"""What they buy: the categories and brands that bring in most."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Subquery, case, distinct, func, select

from engine.audience.money import worth
from engine.insight.diagnosis.figures import Goods, share
from engine.insight.diagnosis.purchases import days_of, local_orders
from engine.store.tables import order_items, products

MOST = 12


def goods(
    connection: Connection, kind: str, zone: str, currency: str, now: datetime
) -> tuple[Goods, ...]:
    """The first MOST by amount, then by orders. `kind`: category or brand, as the item has it, else its product.

    An item without a price, or of an order in another currency, adds nothing; one without a quantity counts once.
    """
    c = _per_customer(kind, zone, currency, now).c
    amount, number = func.sum(c.amount).label("amount"), func.sum(c.orders).label("orders")
    question = select(
        c.name,
        number,
        func.count().label("customers"),
        func.sum(c.quantity).label("quantity"),
        amount,
        func.count(case((c.days > 1, 1))).label("repeated"),
    )
    question = question.group_by(c.name).order_by(amount.desc(), number.desc(), c.name).limit(MOST)
    return tuple(
        Goods(
            name=row.name,
            orders=int(row.orders),
            customers=row.customers,
            quantity=int(row.quantity),
            amount=int(row.amount),
            repeat_share=share(row.repeated, row.customers),
        )
        for row in connection.execute(question)
    )


def _per_customer(kind: str, zone: str, currency: str, now: datetime) -> Subquery:
    bought = local_orders(zone, now)
    name = func.coalesce(order_items.c[kind], products.c[kind])
    quantity = func.coalesce(order_items.c.quantity, 1)
    amount = worth(bought, currency, quantity * func.coalesce(order_items.c.price, 0))
    return (
        select(
            name.label("name"),
            bought.c.customer_id,
            func.count(distinct(bought.c.id)).label("orders"),
            func.count(distinct(days_of(bought.c.seconds))).label("days"),
            func.sum(quantity).label("quantity"),
            func.sum(amount).label("amount"),
        )
        .select_from(
            order_items.join(bought, bought.c.id == order_items.c.order_id).outerjoin(
                products, products.c.sku == order_items.c.sku
            )
        )
        .where(name.is_not(None))
        .group_by(name, bought.c.customer_id)
        .subquery("per_customer")
    )
