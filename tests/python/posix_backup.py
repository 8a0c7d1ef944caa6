"""Write backups with Cinder's own POSIX driver, unmodified.

Reads one JSON object from standard input:

    {"conf": path of a cinder.conf, "backups": [ID, ...]}

Each backup is a row of the database that cinder.conf names, and so is its
volume; the driver writes a small one into backup_posix_path, with its metadata
object, as cinder-backup would, and completes the row. The manager's part, which
since Queens also records the volume's key in the backup's row, is left out.
"""

from cinder import monkey_patch; monkey_patch.patch()  # noqa: E702,I100

import io
import json
import sys

from oslo_config import cfg
from oslo_log import log as logging

from cinder.backup.drivers import posix
from cinder.common import config  # noqa: F401, registers Cinder's options
from cinder import context
from cinder import objects
from cinder import rpc

CONF = cfg.CONF
CONTENT = bytes(range(256)) * 256


def main():
    request = json.load(sys.stdin)
    objects.register_all()
    logging.register_options(CONF)
    CONF(["--config-file", request["conf"]], project="cinder")
    CONF.set_override("backup_enable_progress_timer", False)
    rpc.init(CONF)
    admin = context.get_admin_context()
    driver = posix.PosixBackupDriver(admin)
    for backup_id in request["backups"]:
        backup = objects.Backup.get_by_id(admin, backup_id)
        driver.backup(backup, io.BytesIO(CONTENT), backup_metadata=True)
        backup.status = "available"
        backup.save()


if __name__ == "__main__":
    main()
