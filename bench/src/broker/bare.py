"""How many transactions does SQLite do alone, one after another, with the broker's tables, rows and settings?

Arguments: the broker's database (read only: a grant in it is the pattern), and our own. For each line `same SECONDS`
or `one SECONDS` it prints the number of transactions in a second. One connection does them all, as the broker's does:
a new one begins with an empty log, and a log that grows is slower than one that is written over.
"""

import sqlite3
import sys
import time
import uuid

theirs, ours = sys.argv[1:]
if sqlite3.sqlite_version_info < (3, 37):
    sys.exit(f"python3's SQLite is {sqlite3.sqlite_version}: expected 3.37 or newer, for STRICT tables")

broker = sqlite3.connect(f"file:{theirs}?mode=ro", uri=True)
schema = broker.execute(
    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE '\\_sqlx%' ESCAPE '\\'"
    " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY type = 'trigger', type = 'index'"
).fetchall()


def pattern(table, where, values):
    columns = [row[1] for row in broker.execute(f"PRAGMA table_info({table})") if row[1] != "position"]
    found = broker.execute(f"SELECT {', '.join(columns)} FROM {table} WHERE {where}", values).fetchall()
    insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    return insert, [dict(zip(columns, row)) for row in found]


(n,) = broker.execute("SELECT max(number) FROM grants WHERE status = 'revoked'").fetchone()
insert_grant, [grant] = pattern("grants", "number = ?", [n])
insert_event, events = pattern("events", "grant_number = ? ORDER BY seq", [n])
broker.close()
kinds = [event["kind"] for event in events]
revoke = kinds.index("revoke")
stages = [events[:revoke], events[revoke:]]
assert all(stages), f"expected events for two transactions, found {kinds}"

database = sqlite3.connect(ours, isolation_level=None)
for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY",
               "journal_size_limit = 67108864"):
    database.execute(f"PRAGMA {pragma}")
for (statement,) in schema:
    database.execute(statement)
database.execute("INSERT INTO meta VALUES (0, 0)")
execute = database.execute


def add(insert, row, **changed):
    execute(insert, list({**row, **changed}.values()))


def add_events(rows, n):
    for row in rows:
        add(insert_event, row, grant_number=n)


def life_of_a_grant(n):
    execute("BEGIN IMMEDIATE")
    add(insert_grant, grant, number=n, id=f"elev-{uuid.uuid4().hex}", idem_key=uuid.uuid4().hex, status="active", due_at=1)
    add_events(stages[0], n)
    execute("COMMIT")
    execute("BEGIN IMMEDIATE")
    execute("UPDATE grants SET status = ?, due_at = ?, body = ?, version = version + 1 WHERE number = ?",
            ("revoked", None, grant["body"], n))
    add_events(stages[1], n)
    execute("COMMIT")
    return 2


def one_row(_):
    execute("UPDATE meta SET write_probe = write_probe + 1")
    return 1


work = {"same": life_of_a_grant, "one": one_row}
next_n = 1
for line in sys.stdin:
    rows, seconds = line.split()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < float(seconds):
        done += work[rows](next_n)
        next_n += 1
    print(done / (time.perf_counter() - start), flush=True)
