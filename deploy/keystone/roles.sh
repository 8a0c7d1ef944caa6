#!/bin/sh
# The role that Cinder's user needs to store, read and delete secrets, in both worlds of Barbican.
# Run with an administrator's credentials: `sh roles.sh`, or `sh roles.sh creator`.
#
#   member    Barbican from 2024.1 on, with its new defaults ([oslo_policy] enforce_new_defaults)
#   creator   older, or with the old policies
#
# `cinder-key-migrator check` and the remedy of a daemon that waits say which one is lacking.
# The role stays for good: without it Cinder cannot delete the keys of migrated volumes.
# Change: the names, in the environment: they are username, user_domain_name, project_name and
#   project_domain_name of [keystone_authtoken] in cinder.conf.
set -eu

role=${1:-member}
user=${CINDER_USER:-cinder}
user_domain=${CINDER_USER_DOMAIN:-Default}
project=${CINDER_PROJECT:-service}
project_domain=${CINDER_PROJECT_DOMAIN:-Default}

# Where Barbican is older than its role.
openstack role show "$role" >/dev/null 2>&1 || openstack role create "$role"

openstack role add --user "$user" --user-domain "$user_domain" \
    --project "$project" --project-domain "$project_domain" "$role"

openstack role assignment list --names --user "$user" --user-domain "$user_domain" \
    --project "$project" --project-domain "$project_domain"
