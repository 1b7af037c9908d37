"""The bare loop: prebuilt bytes through smtplib, one connection, one message after the other.

Prints one JSON object: messages, wall seconds, CPU seconds of this process.
"""

import json
import smtplib
import sys
import time
from pathlib import Path


def main() -> None:
    port, count, path = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    body = path.read_bytes()
    client = smtplib.SMTP("127.0.0.1", port)
    client.ehlo_or_helo_if_needed()
    started, used = time.perf_counter(), time.process_time()
    for number in range(count):
        client.sendmail("hi@shop.example", [f"c{number}@example.com"], body)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    client.quit()
    print(json.dumps({"messages": count, "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main()
