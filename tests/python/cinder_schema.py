"""Print the SQLite schema that this environment's Cinder makes, as SQL.

Runs `cinder-manage db sync` on an empty SQLite file and prints every table,
index and row of the result. What differs from run to run is made the same: the
instants and random UUIDs of the rows that db sync itself inserts are replaced
by fixed values, and foreign keys and indexes, which alembic writes in the order
of a Python set, are sorted. So two runs of the same Cinder print the same text.
"""

import importlib.metadata
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile

INSTANT = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}$")
FOREIGN_KEY = "\tFOREIGN KEY("
RANDOM_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

HEADER = """\
-- Cinder's own schema on SQLite, with the rows that its db sync inserts.
--
-- Made by the real Cinder {version}:
--     tests/run -- --test cinder_schema
-- fails when this file is not what a fresh `cinder-manage db sync` makes, and
--     python tests/python/cinder_schema.py > crates/sandbox-cloud/schema/{file}
-- (with the Python of the test services) writes it anew. Instants and random
-- UUIDs are replaced by fixed values, and indexes and foreign keys are sorted;
-- everything else is Cinder's.
"""


def main():
    version = importlib.metadata.version("cinder")
    print(HEADER.format(version=version, file=f"cinder-{version}.sqlite.sql"))
    with tempfile.TemporaryDirectory() as folder:
        database = synced_database(pathlib.Path(folder))
        connection = sqlite3.connect(database)
        print("\n".join(statements(connection)))
        connection.close()


def synced_database(folder):
    database = folder / "cinder.sqlite"
    configuration = folder / "cinder.conf"
    configuration.write_text(
        f"[DEFAULT]\nstate_path = {folder}\nlog_file = {folder}/cinder.log\n"
        f"[database]\nconnection = sqlite:///{database}\n"
        f"[oslo_concurrency]\nlock_path = {folder}\n"
    )
    cinder_manage = pathlib.Path(sys.executable).parent / "cinder-manage"
    subprocess.run(
        [sys.executable, "-W", "ignore", cinder_manage]
        + ["--config-file", configuration, "db", "sync"],
        check=True,
        stdout=sys.stderr,
    )
    return database


def statements(connection):
    objects = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL"
        " ORDER BY type = 'index', CASE type WHEN 'index' THEN name END, rowid"
    ).fetchall()
    for _, _, sql in objects:
        yield with_sorted_foreign_keys(sql) + ";"
    known_uuids = {}
    for kind, name, _ in objects:
        if kind == "table":
            yield from inserts(connection, name, known_uuids)


def inserts(connection, table, known_uuids):
    rows = connection.execute(f'SELECT * FROM "{table}" ORDER BY rowid')
    columns = ", ".join(f'"{column[0]}"' for column in rows.description)
    for row in rows.fetchall():
        values = ", ".join(literal(value, known_uuids) for value in row)
        yield f'INSERT INTO "{table}" ({columns}) VALUES ({values});'


def literal(value, known_uuids):
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value)
    if INSTANT.match(value):
        value = "2026-01-01 00:00:00.000000"
    elif RANDOM_UUID.match(value):
        number = known_uuids.setdefault(value, len(known_uuids) + 1)
        value = f"c1de0000-0000-4000-8000-{number:012}"
    return "'" + value.replace("'", "''") + "'"


def with_sorted_foreign_keys(sql):
    lines = [line.rstrip() for line in sql.strip().splitlines()]
    places = [n for n, line in enumerate(lines) if line.startswith(FOREIGN_KEY)]
    keys = sorted(lines[place].rstrip(",") for place in places)
    for place, key in zip(places, keys):
        lines[place] = key + ("," if lines[place].endswith(",") else "")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
