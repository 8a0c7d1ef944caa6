"""Serves Keystone, Barbican or Glance, named by the environment, for the tests.

oslo.config parses the process's own arguments, so gunicorn must have none: it
finds this file through GUNICORN_CMD_ARGS.
"""

import importlib
import os

bind = "127.0.0.1:" + os.environ["SERVICE_PORT"]
wsgi_app = os.environ["SERVICE_WSGI_APP"]
pythonpath = os.path.dirname(__file__)
workers = int(os.environ["SERVICE_WORKERS"])
worker_class = "gthread"
threads = 4
keepalive = 75
graceful_timeout = 2
errorlog = "-"
control_socket_disable = True

# The modules, and no application, are loaded before the workers fork: importing
# them costs seconds, and connections must not be shared between processes.
importlib.import_module(os.environ["SERVICE_PRELOAD"])


def post_worker_init(worker):
    """Load the policies before the first request.

    Keystone and Barbican load them lazily, and refuse what another thread is asked
    meanwhile, because no rule is known yet.
    """
    module = os.environ.get("SERVICE_POLICY")
    if module:
        importlib.import_module(module).get_enforcer().load_rules()
