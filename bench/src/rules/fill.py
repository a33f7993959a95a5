"""Puts copies of decisions into a SQLite database whose broker is stopped.

Arguments: the database, and one of
  decisions COUNT             copies of its newest decision, spread over the last 29 days
  grants ID REPOSITORY SIZE…  for each other live grant a copy of the first decision about this one; and then another
                              repository, REPOSITORY-0, REPOSITORY-1, …, for each SIZE of the live grants
"""

import sqlite3
import sys
import time

path, what, *rest = sys.argv[1:]
database = sqlite3.connect(path, isolation_level=None)
execute = database.execute
# A copy that a power cut damages is made again.
execute("PRAGMA synchronous = OFF")
execute("PRAGMA cache_size = -262144")


def copy(source, changed, values):
    names = [row[1] for row in execute("PRAGMA table_info(decisions)")]
    chosen = ", ".join(changed.get(name, name) for name in names)
    execute(f"INSERT INTO decisions ({', '.join(names)}) SELECT {chosen} FROM {source}", values)


def decisions(count):
    (last,) = execute("SELECT max(number) FROM decisions").fetchone()
    now, period = int(time.time() * 1000), 29 * 86_400_000
    execute("CREATE TEMPORARY TABLE copies AS WITH RECURSIVE copies (i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM copies WHERE i < ?) SELECT i FROM copies", [int(count)])
    changed = {"number": ":last + i", "at": ":first + :period * i / :count"}
    values = {"last": last, "first": now - period, "period": period, "count": int(count)}
    copy("copies, (SELECT * FROM decisions WHERE number = :last) ORDER BY i", changed, values)


def grants(pattern, repository, *sizes):
    (n,) = execute("SELECT number FROM grants WHERE id = ?", [pattern]).fetchone()
    (last,) = execute("SELECT max(number) FROM decisions").fetchone()
    changed = {"number": ":last + row_number() OVER ()", "grant_number": "copy"}
    source = ("(SELECT number AS copy FROM grants WHERE status = 'active' AND number > :n),"
              " (SELECT * FROM decisions WHERE grant_number = :n ORDER BY number LIMIT 1)")
    copy(source, changed, {"n": n, "last": last})
    (body,) = execute("SELECT body FROM grants WHERE number = ?", [n]).fetchone()
    old = body.split('"repository":"')[1].split('"')[0]
    first = n + 1
    for index, size in enumerate(sizes):
        values = {"first": first, "end": first + int(size), "old": f'"repository":"{old}"',
                  "new": f'"repository":"{repository}-{index}"'}
        for table, column, number in [("grants", "body", "number"), ("decisions", "facts", "grant_number")]:
            execute(f"UPDATE {table} SET {column} = replace({column}, :old, :new)"
                    f" WHERE {number} >= :first AND {number} < :end", values)
        first += int(size)


execute("BEGIN")
{"decisions": decisions, "grants": grants}[what](*rest)
execute("COMMIT")
execute("PRAGMA wal_checkpoint(TRUNCATE)")
