"""Puts copies of one grant, with its timeline, into a SQLite database whose broker is stopped.

Arguments: the database, the grant's id, how many copies, the first copy's number, and, if the copies have another
deadline, that deadline in milliseconds since 1970 and as the grant's JSON has it.
"""

import sqlite3
import sys

path, pattern, count, first, *deadline = sys.argv[1:]
count, first = int(count), int(first)
database = sqlite3.connect(path, isolation_level=None)
execute = database.execute
# A copy that a power cut damages is made again.
execute("PRAGMA synchronous = OFF")
execute("PRAGMA cache_size = -262144")


def columns(table):
    return [row[1] for row in execute(f"PRAGMA table_info({table})")]


n, key, expires_at = execute(
    "SELECT number, idem_key, json_extract(body, '$.expires_at') FROM grants WHERE id = ?", [pattern]
).fetchone()
(last,) = execute("SELECT max(number) FROM grants").fetchone()
values = {"n": n, "last": last, "count": count, "first": first, "id": pattern, "key": key}
body = "replace(replace(body, :id, printf('elev-%016x', :first + i)), :key, printf('%032x', :first + i))"
changed = {"number": ":last + i", "id": "printf('elev-%016x', :first + i)", "idem_key": "printf('%032x', :first + i)"}
if deadline:
    values |= {"due_at": int(deadline[0]), "old": f'"expires_at":"{expires_at}"', "new": f'"expires_at":"{deadline[1]}"'}
    changed["due_at"] = ":due_at"
    body = f"replace({body}, :old, :new)"
changed["body"] = body

copies = "WITH RECURSIVE copies (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM copies WHERE i < :count)"
execute("BEGIN")
of_grant = {"grant_number": ":last + i"}
for table, belongs, other in [
    ("grants", "number", changed),
    ("grant_origins", "grant_number", of_grant),
    ("events", "grant_number", of_grant),
]:
    names = [name for name in columns(table) if name != "position"]
    chosen = ", ".join(other.get(name, name) for name in names)
    execute(f"INSERT INTO {table} ({', '.join(names)}) {copies} SELECT {chosen} FROM copies, {table}"
            f" WHERE {belongs} = :n", values)
execute("COMMIT")
execute("PRAGMA wal_checkpoint(TRUNCATE)")
