#!/usr/bin/env bash
# `make upgrade`: back up, migrate, check, restart. Each step that fails says what is as it was, and what to do.
# On a server that deploy/install.sh has set up, the settings are those of /etc/crm/env (ESHIN_ENV names another file).
# ESHIN_RESTART is the command that restarts the servers, where neither systemd nor supervisor runs them.
set -uo pipefail
cd "$(dirname "$0")/.."

. scripts/server_settings.sh

say() { printf '== %s\n' "$*" >&2; }
stop() { printf '\nUpgrade stopped: %s\n' "$*" >&2; exit 1; }

# The servers' user may not write here: without this, each start would compile all modules.
[ "$(id -u)" != 0 ] || .venv/bin/python -m compileall -q app migrations ./*.py

say "1 of 4: backup"
said=$("${crm[@]}" backup create --before-upgrade) ||
    stop "there is no backup (its words stand above). Nothing was changed: the servers go on with the version they run. Mend it, then run \`make upgrade\` again."
printf '%s\n' "$said"
name=$(printf '%s\n' "$said" | sed -n 's#^Backup: .*/##p')

if [ -n "$name" ]; then
    "${crm[@]}" backup verify "$name" ||
        stop "the backup $name can't be read (the words stand above). Nothing was changed: the servers go on with the version they run. Mend it, then run \`make upgrade\` again."
fi

say "2 of 4: schema"
if ! "${crm[@]}" db upgrade heads; then
    if [ -z "$name" ]; then stop "the database could not be made (the words stand above). There was none before, so nothing is lost."; fi
    stop "the database could not be migrated (the words stand above). Everything is in the backup $name. Stop all servers, then either mend the cause and run \`make upgrade\` again, or go back: make restore NAME=$name ARGS=--overwrite, install the former version, start it."
fi

say "3 of 4: check"
"${crm[@]}" db check ||
    stop "the schema is not that of this version (the words stand above). Everything is in the backup ${name:-of an earlier day}. Do not start the servers; restore it (make restore NAME=$name ARGS=--overwrite) and the former version."

say "4 of 4: restart"
restart() {
    if [ -n "${ESHIN_RESTART:-}" ]; then sh -c "$ESHIN_RESTART"; return; fi
    local installed=
    if [ -e /usr/local/bin/crm ]; then installed=$(readlink -f /usr/local/bin/crm); fi
    if [ "${crm[0]}" = env ] && [ -n "$installed" ] && [ "$installed" != "$(pwd -P)/deploy/crm" ]; then
        echo "The servers run the version in ${installed%/deploy/crm}. Run deploy/install.sh here: it lets them run this one." >&2
        return 1
    fi
    if [ "${crm[0]}" = env ] && command -v systemctl >/dev/null && systemctl is-enabled --quiet crm-web 2>/dev/null; then
        systemctl restart crm-web crm-background
        # units of a former version, until deploy/install.sh is run again
        ! systemctl is-enabled --quiet crm-sockets 2>/dev/null || systemctl restart crm-sockets
        return
    fi
    if [ "${crm[0]}" = env ] && command -v supervisorctl >/dev/null && supervisorctl status crm:web >/dev/null 2>&1; then
        supervisorctl restart 'crm:*' >&2; return
    fi
    echo "Start the servers and workers again: they are not run by systemd or supervisor of this machine."
}
restart || stop "the database is ready, but the servers could not be restarted (the words stand above). Start them by hand."
echo "Upgraded to version $(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)."
