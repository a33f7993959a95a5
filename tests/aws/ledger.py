"""Reads a broker's database for the tests, and keeps it from being written: one order per line, one answer per line.

The first order is the path of the database. It ends when stdin does.
"""

import json
import sqlite3
import sys


def main():
    path = json.loads(sys.stdin.readline())["path"]
    held = None
    for line in sys.stdin:
        order = json.loads(line)
        if order["do"] == "hold":
            held = sqlite3.connect(path, timeout=10, isolation_level=None)
            held.execute("BEGIN IMMEDIATE")
            answer = []
        elif order["do"] == "release":
            if held is not None:
                held.close()
            held, answer = None, []
        else:
            # A connection for each question: the broker that the last one was shared with may be dead by now.
            reader = sqlite3.connect(path, timeout=10)
            answer = [list(row) for row in reader.execute(order["sql"])]
            reader.close()
        print(json.dumps(answer), flush=True)


main()
