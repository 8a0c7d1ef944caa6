"""Writes expected.json: what oslo.config itself makes of every case in cases.json.

Run it with the Python of an environment that has oslo.config 10.7.0.
A second argument pair names other files: record.py CASES EXPECTED. With --serve it reads one
case a line from its standard input and answers each with a line.
"""

import json
import os
import pathlib
import re
import sys
import tempfile

from oslo_config import cfg

TYPES = {
    "string": cfg.StrOpt,
    "secret": lambda name, **kw: cfg.StrOpt(name, secret=True, **kw),
    "integer": cfg.IntOpt,
    "boolean": cfg.BoolOpt,
    "list": cfg.ListOpt,
    "multi": cfg.MultiStrOpt,
}
SYSTEM_DIRECTORIES = cfg._get_config_dirs
VARIABLES = dict(os.environ)


def option(spec):
    arguments = {key: spec[key] for key in ("default", "min", "max") if key in spec}
    former = [cfg.DeprecatedOpt(name, group=group) for group, name in spec.get("deprecated", [])]
    return TYPES[spec["type"]](spec["name"], deprecated_opts=former, **arguments)


def group_of(spec):
    return None if spec["group"] == "DEFAULT" else spec["group"]


def outcome(conf, spec):
    try:
        value, location = conf._do_get(spec["name"].replace("-", "_"), group_of(spec))
    except (cfg.Error, ValueError, RecursionError):
        return {"error": True}
    origin = location.location.name if location else "opt_default"
    return {"value": value, "origin": origin}


def record(case, root):
    for name, content in case["files"].items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode())
    os.environ.clear()
    os.environ.update(VARIABLES)
    os.environ["HOME"] = str(root / "home")
    for name, value in case.get("env", {}).items():
        os.environ[name] = value.replace("ROOT", str(root))
    cfg._get_config_dirs = lambda project=None: [
        str(root) + path if path.startswith("/etc") else path
        for path in SYSTEM_DIRECTORIES(project)
    ]
    conf = cfg.ConfigOpts()
    for spec in case["options"]:
        conf.register_opt(option(spec), group=group_of(spec))
    arguments = [argument.replace("ROOT", str(root)) for argument in case["args"]]
    try:
        conf(arguments, project="cinder", prog="cinder-volume")
    except cfg.ConfigFileParseError as error:
        return {"syntax": int(re.search(r":(\d+), ", str(error)).group(1))}
    except (cfg.Error, UnicodeDecodeError, OSError):
        return {"unreadable": True}
    return {"options": [outcome(conf, spec) for spec in case["options"]]}


def main(cases, expected):
    recorded = {}
    for case in json.loads(pathlib.Path(cases).read_text()):
        with tempfile.TemporaryDirectory() as root:
            recorded[case["name"]] = record(case, pathlib.Path(root))
    pathlib.Path(expected).write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


def serve():
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as root:
            print(json.dumps(record(json.loads(line), pathlib.Path(root))), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
        sys.exit()
    here = pathlib.Path(__file__).parent
    main(*(sys.argv[1:] or [here / "cases.json", here / "expected.json"]))
