"""A bare sqlite3 executemany of the orders' rows into a bare table: what the database alone costs."""

import csv
import gzip
import io
import sqlite3
import time
from pathlib import Path


def seconds(source: Path, database: Path) -> float:
    """How long reading the rows from the CSV and writing them takes."""
    started = time.perf_counter()
    with gzip.open(source, "rb") as packed:
        rows = list(csv.reader(io.TextIOWrapper(packed, "utf-8")))[1:]
    connection = sqlite3.connect(database)
    connection.execute(
        "CREATE TABLE orders (id TEXT PRIMARY KEY, customer_id TEXT, placed_at TEXT, quantity INTEGER, amount TEXT)"
    )
    with connection:
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    return time.perf_counter() - started
