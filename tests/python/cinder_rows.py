"""Print the volumes and snapshots of a Cinder database as Cinder's own objects see them.

Reads the database's URL from standard input.
"""

import json
import sys

from cinder import context
from cinder import objects
from oslo_config import cfg


def main():
    objects.register_all()
    cfg.CONF([], default_config_files=[])
    cfg.CONF.set_override("connection", sys.stdin.read(), group="database")
    admin = context.get_admin_context()
    volumes = objects.VolumeList.get_all(admin)
    snapshots = objects.SnapshotList.get_all(admin, {})
    print(json.dumps({
        "volumes": [
            {**described(volume), "volume_type": volume.volume_type.name}
            for volume in volumes
        ],
        "snapshots": [described(snapshot) for snapshot in snapshots],
    }))


def described(resource):
    return {
        "id": resource.id,
        "encryption_key_id": resource.encryption_key_id,
        "user_id": resource.user_id,
        "updated_at": str(resource.updated_at),
    }


if __name__ == "__main__":
    main()
