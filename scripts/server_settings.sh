# Sourced. `crm` is the command of the CRM (an array): with the settings of the environment if they name a database or an
# instance folder, else with those of /etc/crm/env, as deploy/install.sh writes them (ESHIN_ENV names another file).
# shellcheck shell=bash disable=SC2034  # used by those who source it
env_file=${ESHIN_ENV:-/etc/crm/env}
crm=(.venv/bin/flask --app run)
if [ -z "${CRM_DATABASE_URL:-}${CRM_INSTANCE_DIR:-}" ] && [ -r "$env_file" ]; then crm=(env ESHIN_ENV="$env_file" deploy/crm); fi
