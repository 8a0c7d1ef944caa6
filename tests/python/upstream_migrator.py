"""Run Cinder's own key migrator, unmodified, as cinder-volume or cinder-backup does at start.

    upstream_migrator.py CINDER_CONF

What cinder-volume does before it migrates (import, configure, load the rows of
each backend's host) is done here with the same calls; the migration itself is
cinder.keymgr.migration of the Cinder package. Cinder's log goes to standard
error, in oslo.log's format.

Standard output and input are for whoever drives it. {"ready": true} is printed
once everything is imported and configured. Each line "volume" or "backup" on
standard input then loads that service's rows and migrates them, as one start of
that service would, and is answered by one line:

    {"rows": 300, "load_seconds": 0.4, "migrate_seconds": 16.2}

It ends with its standard input.
"""

from cinder import monkey_patch; monkey_patch.patch()  # noqa: E702,I100

import json
import logging as python_logging
import sys
import time

from oslo_config import cfg
from oslo_log import log as logging

from cinder.common import config  # noqa: F401, registers enabled_backends and host
from cinder import context
from cinder import coordination
from cinder.keymgr import migration
from cinder import objects
from cinder.volume import volume_migration

CONF = cfg.CONF

# oslo.log writes to standard output where nothing else is configured.
ANSWERS, sys.stdout = sys.stdout, sys.stderr


def main():
    objects.register_all()
    logging.register_options(CONF)
    CONF(["--config-file", sys.argv[1]], project="cinder")
    logging.setup(CONF, "cinder")
    python_logging.captureWarnings(True)
    coordination.COORDINATOR.start()
    say({"ready": True})
    for line in sys.stdin:
        say(SERVICES[line.strip()]())
    coordination.COORDINATOR.stop()


def migrate_volumes():
    """As init_host of cinder-volume, which has one manager a backend."""
    answer = {"rows": 0, "load_seconds": 0.0, "migrate_seconds": 0.0}
    for backend in CONF.enabled_backends:
        started = time.monotonic()
        admin = context.get_admin_context()
        volumes = volume_migration.VolumeMigrationList()
        volumes.append(
            objects.VolumeList.get_all(admin, filters={"host": host_of(backend)}),
            admin,
        )
        answer["load_seconds"] += time.monotonic() - started
        answer["rows"] += len(volumes)
        answer["migrate_seconds"] += migrate(volumes=volumes)
    return answer


def migrate_backups():
    """As init_host of cinder-backup."""
    started = time.monotonic()
    backups = objects.BackupList.get_all_by_host(
        context.get_admin_context(), CONF.host
    )
    loaded = time.monotonic()
    return {
        "rows": len(backups),
        "load_seconds": loaded - started,
        "migrate_seconds": migrate(backups=backups),
    }


def migrate(**rows):
    started = time.monotonic()
    migration.migrate_fixed_key(**rows)
    return time.monotonic() - started


def host_of(backend):
    """As _launch_service of cinder.cmd.volume."""
    CONF.register_opt(cfg.StrOpt("backend_host"), group=backend)
    return f"{CONF[backend].backend_host or CONF.host}@{backend}"


def say(answer):
    print(json.dumps(answer), file=ANSWERS, flush=True)


SERVICES = {"volume": migrate_volumes, "backup": migrate_backups}

if __name__ == "__main__":
    main()
