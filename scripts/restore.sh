#!/usr/bin/env bash
# `make restore`: restores a backup into the CRM's own database. `restore.sh` lists the names; `restore.sh NAME [--overwrite …]`.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/server_settings.sh

if [ $# = 0 ]; then exec "${crm[@]}" backup list; fi
exec "${crm[@]}" backup restore "$1" --into own "${@:2}"
