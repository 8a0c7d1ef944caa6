"""Make the tables of an old Cinder, by that release's own migrations.

    python make.py CINDER URL

CINDER is the unpacked package of a release up to 18 (Wallaby), whose migrations
are written for sqlalchemy-migrate; URL names an empty database. It needs a
Python environment with

    SQLAlchemy==1.3.24 sqlalchemy-migrate==0.13.0 oslo.db==8.6.0 oslo.config
    oslo.log six pymysql psycopg2-binary

and nothing of Cinder beside the package: the few names that the migrations
import from elsewhere in Cinder stand for constants, and are given below.
README.md tells how the files beside this one were made with it.
"""

import importlib.util
import pathlib
import sys
import types

import migrate.changeset  # noqa: F401, teaches SQLAlchemy to alter tables
import sqlalchemy
from oslo_config import cfg


def stand_in(name, **names):
    module = types.ModuleType(name)
    module.__dict__.update(names)
    sys.modules[name] = module
    return module


def stand_ins():
    cinder = stand_in("cinder")
    cinder.exception = stand_in("cinder.exception", ValidationError=ValueError)
    stand_in("cinder.i18n", _=str)
    stand_in("cinder.quota")
    volume = stand_in("cinder.volume")
    volume.group_types = stand_in(
        "cinder.volume.group_types",
        DEFAULT_CGSNAPSHOT_TYPE="default_cgsnapshot_type",
    )
    volume.volume_types = stand_in(
        "cinder.volume.volume_types",
        DEFAULT_VOLUME_TYPE="__DEFAULT__",
    )


def quotas():
    defaults = {
        "quota_volumes": 10,
        "quota_snapshots": 10,
        "quota_gigabytes": 1000,
        "quota_consistencygroups": 10,
        "quota_groups": 10,
    }
    for name, default in defaults.items():
        cfg.CONF.register_opt(cfg.IntOpt(name, default=default))


def versions(package):
    folder = package / "cinder/db/sqlalchemy/migrate_repo/versions"
    for path in sorted(folder.glob("[0-9]*.py")):
        specification = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        yield path.stem, module


def main(package, url):
    stand_ins()
    quotas()
    engine = sqlalchemy.create_engine(url)
    # The table in which sqlalchemy-migrate itself counts; one migration alters it.
    engine.execute(
        "CREATE TABLE migrate_version (repository_id VARCHAR(250) NOT NULL PRIMARY KEY,"
        " repository_path TEXT, version INTEGER)"
    )
    for name, module in versions(pathlib.Path(package)):
        print(name, file=sys.stderr)
        module.upgrade(engine)


if __name__ == "__main__":
    main(*sys.argv[1:])
