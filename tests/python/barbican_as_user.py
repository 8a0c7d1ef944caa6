"""Talk to Barbican as a given user, through the libraries that Cinder uses.

Reads one JSON object from standard input (so that no password is seen in the
process list) and prints one to standard output:

    {"cloud": {"auth_url", "barbican_endpoint"},
     "user": {"username", "password", "user_domain_name",
              "project_name", "project_domain_name"},
     "action": "payloads" | "list" | "delete",
     "secret_ids": [...]}

payloads  {"results": [{"payload": hex} | {"error": text}, ...]}, one an ID
delete    {"results": [{} | {"error": text}, ...]}
list      {"secrets": [{"secret_id", "name", "status", "creator_id", ...}]}
"""

import json
import sys

from barbicanclient import client as barbican_client
from castellan.common.credentials import keystone_password
from castellan.key_manager import barbican_key_manager
from keystoneauth1 import identity
from keystoneauth1 import session
from oslo_config import cfg
from oslo_log import log

PAGE = 100


def main():
    request = json.load(sys.stdin)
    # Castellan logs refusals with their traceback; the answer names them.
    log.getLogger(None).logger.setLevel("CRITICAL")
    print(json.dumps(ACTIONS[request["action"]](request)))


def payloads(request):
    manager, context = castellan(request)
    return each(
        request,
        lambda secret_id: {
            "payload": manager.get(context, secret_id).get_encoded().hex()
        },
    )


def delete(request):
    manager, context = castellan(request)
    return each(
        request, lambda secret_id: manager.delete(context, secret_id) or {}
    )


def list_secrets(request):
    cloud = request["cloud"]
    auth = identity.Password(auth_url=cloud["auth_url"], **request["user"])
    barbican = barbican_client.Client(
        session=session.Session(auth=auth),
        endpoint=cloud["barbican_endpoint"],
    )
    secrets = []
    while True:
        page = barbican.secrets.list(
            limit=PAGE, offset=len(secrets), sort="created:asc"
        )
        secrets += [described(secret) for secret in page]
        if len(page) < PAGE:
            return {"secrets": secrets}


def described(secret):
    return {
        "secret_id": secret.secret_ref.rsplit("/", 1)[-1],
        "name": secret.name,
        "status": secret.status,
        "algorithm": secret.algorithm,
        "bit_length": secret.bit_length,
        "secret_type": secret.secret_type,
    }


def castellan(request):
    """A key manager, and a context that logs in once for all its requests."""
    cloud = request["cloud"]
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[])
    manager = barbican_key_manager.BarbicanKeyManager(conf)
    conf.set_override(
        "barbican_endpoint", cloud["barbican_endpoint"], group="barbican"
    )
    context = keystone_password.KeystonePassword(
        auth_url=cloud["auth_url"], **request["user"]
    )
    client = manager._get_barbican_client(context)
    manager._get_barbican_client = lambda _: client
    return manager, context


def each(request, act):
    return {"results": [attempt(act, i) for i in request["secret_ids"]]}


def attempt(act, secret_id):
    try:
        return act(secret_id)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


ACTIONS = {"payloads": payloads, "delete": delete, "list": list_secrets}

if __name__ == "__main__":
    main()
