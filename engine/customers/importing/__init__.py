"""Files of customers, orders and the rest: read, mapped, checked row by row, and landed in sets."""
