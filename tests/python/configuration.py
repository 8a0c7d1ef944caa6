"""Write sample configuration files, and read files, with the libraries that the services use.

Reads JSON from standard input: {"generate": [NAMESPACE...]} prints the text that
oslo-config-generator writes; {"read": [PATH...]} prints what oslo.config finds in each.
"""

import io
import json
import sys
from unittest import mock

from cinder.keymgr import conf_key_mgr
from oslo_config import cfg
from oslo_config import generator


def main():
    request = json.load(sys.stdin)
    if "generate" in request:
        sys.stdout.write(generate(request["generate"]))
    else:
        json.dump([read(path) for path in request["read"]], sys.stdout)


def generate(namespaces):
    # Cinder lists the options of all its drivers, and to list them imports what only these need.
    for name in ("googleapiclient", "google", "google.auth", "google.oauth2", "oauth2client",
                 "httplib2", "boto3", "botocore"):
        try:
            __import__(name)
        except ImportError:
            sys.modules[name] = mock.MagicMock()
    conf = cfg.ConfigOpts()
    generator.register_cli_opts(conf)
    conf(["--namespace=" + namespace for namespace in namespaces], default_config_files=[])
    text = io.StringIO()
    generator.generate(conf, output_file=text)
    return text.getvalue()


def read(path):
    """Every option of the file as it stands there, and the fixed key as Cinder sees it."""
    sections = {}
    cfg.ConfigParser(path, sections).parse()
    conf = cfg.ConfigOpts()
    # Nova registers the same (nova/keymgr/conf_key_mgr.py).
    conf.register_opts(conf_key_mgr.key_mgr_opts, group="key_manager")
    conf(["--config-file", path], default_config_files=[], default_config_dirs=[])
    return {"sections": sections, "fixed_key": conf.key_manager.fixed_key}


if __name__ == "__main__":
    main()
