#!/usr/bin/env bash
# Install the CRM on one Debian or Ubuntu server, with nginx, MariaDB and Redis. Run it as root, from the folder of the CRM:
#
#   deploy/install.sh --url https://crm.example --tls /etc/ssl/crm.pem /etc/ssl/crm.key
#   deploy/install.sh --url http://crm.office.lan          (without TLS, inside an office only)
#
# Options: --supervisor or --systemd (default: what the machine runs), --workers N (default: cores, at most 4).
#   --servers 10.0.0.11,10.0.0.12   nginx here passes requests to these servers of the CRM
#   --no-nginx                      another machine has nginx; this one takes /etc/crm/env from it
# It may be run again at any time: keys and passwords are made once and kept in /etc/crm/env; the rest is written anew.
# Where /etc/crm/env names a database or a Redis of another machine, none is installed here.
# It ends with the self-test.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

user=crm
env_file=/etc/crm/env
instance=/var/lib/eshin-crm
logs=/var/log/eshin-crm
made=/etc/crm/made
url= certificate= key= manager= workers= servers= nginx=yes
[ ! -e $made/no-nginx ] || nginx=no

say() { printf '== %s\n' "$*"; }
stop() { printf 'Installation stopped: %s\n' "$*" >&2; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
        --url) url=${2:?--url needs an address}; shift 2 ;;
        --tls) certificate=${2:?--tls needs a certificate and a key}; key=${3:?--tls needs a certificate and a key}; shift 3 ;;
        --supervisor) manager=supervisor; shift ;;
        --systemd) manager=systemd; shift ;;
        --servers) servers=${2:?--servers needs addresses, with commas}; nginx=yes; shift 2 ;;
        --no-nginx) nginx=no; shift ;;
        --workers) workers=${2:?--workers needs a number}; shift 2 ;;
        *) stop "unknown option $1; see the head of this file." ;;
    esac
done

# --- what must be so

[ "$(id -u)" = 0 ] || stop "run it as root: sudo deploy/install.sh …"
command -v apt-get >/dev/null || stop "this machine has no apt-get; it is for Debian and Ubuntu."
if [ -z "$url" ] && [ -r $env_file ]; then url=$(sed -n "s/^CRM_PUBLIC_URL='\(.*\)'\$/\1/p" $env_file); fi
[[ $url =~ ^https?://[A-Za-z0-9.:-]+$ ]] || stop "say at which address browsers reach the CRM: --url https://crm.example"
[ -n "$servers" ] || { [ ! -r $made/servers ] || servers=$(cat $made/servers); }
[[ $servers =~ ^[A-Za-z0-9.,-]*$ ]] || stop "--servers takes names or addresses with commas, such as 10.0.0.11,10.0.0.12"
if [ $nginx = no ] && [ ! -r $env_file ]; then
    stop "--no-nginx is for a further server: copy $env_file from the first one here (mode 0600), with this server's CRM_HOST and CRM_SERVER_NAME."
fi
case $nginx$url in
    yeshttps://*) [ -n "$certificate" ] || { [ -r $made/tls ] && read -r certificate key <$made/tls; } ||
                   stop "https needs a certificate: --tls CERTIFICATE KEY (both as PEM files)" ;;
esac
if [ -n "$certificate" ]; then
    for file in "$certificate" "$key"; do [ -r "$file" ] || stop "$file can't be read."; done
fi
[ -n "$manager" ] || { if [ -d /run/systemd/system ]; then manager=systemd; else manager=supervisor; fi; }
if [ -z "$workers" ]; then
    workers=$(nproc)
    [ "$workers" -le 4 ] || workers=4
fi

# --- packages

have() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
value() { sh -c '. "$1"; eval "printf %s \"\${$2:-}\""' - $env_file "$1"; }  # of a setting
is_here() {  # whether this machine has what the address of a setting names
    [ -r $env_file ] || return 0
    case $(value "$1") in *[@/]127.0.0.1[:/]* | *[@/]localhost[:/]*) return 0 ;; *) return 1 ;; esac
}
wanted=(logrotate make python3 python3-venv)
[ $nginx = no ] || wanted+=(nginx)
if is_here CRM_DATABASE_URL; then database=here wanted+=(mariadb-server); else database=elsewhere wanted+=(mariadb-client); fi
if is_here CRM_REDIS_URL; then redis=here wanted+=(redis-server); else redis=elsewhere; fi
[ $manager = systemd ] || wanted+=(supervisor)
missing=()
for package in "${wanted[@]}"; do have "$package" || missing+=("$package"); done
# Browsers prefer brotli; the module is in Debian 12 and Ubuntu 22.04 and later.
module=libnginx-mod-http-brotli-filter
if [ ${#missing[@]} -gt 0 ] || { [ $nginx = yes ] && ! have $module; }; then apt-get update -qq; fi
if [ $nginx = yes ] && ! have $module && apt-cache show $module >/dev/null 2>&1; then missing+=($module); fi
if [ ${#missing[@]} -gt 0 ]; then
    say "installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends "${missing[@]}"
fi
say "the CRM's own packages"
scripts/setup.sh run
# The CRM's user may not write here: without this, each start would compile all modules.
.venv/bin/python -m compileall -q app migrations ./*.py

# --- user and folders

id $user >/dev/null 2>&1 || { say "making the user $user"; useradd --system --home-dir $instance --shell /usr/sbin/nologin $user; }
install -d -m 0755 /etc/crm
install -d -m 0700 $made
install -d -m 0750 -o $user -g $user $instance
# Files of logs are made by root (supervisord, systemd, nginx, logrotate). The CRM and nginx's workers open those anew that
# logrotate has made, and must reach them for that.
install -d -m 0751 -o root -g adm $logs
setpriv --reuid $user --regid $user --init-groups test -r "$root/run.py" -a -x "$root/.venv/bin/python" ||
    stop "the user $user can't read $root or its Python; put the CRM where everybody may read, such as /opt/eshin-crm."

# --- keys and passwords, once

secret() { python3 -c 'import secrets; print(secrets.token_hex(24))'; }
field_key() { python3 -c 'import base64, secrets; print(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())'; }
if [ ! -e $env_file ]; then
    say "making keys and passwords: $env_file"
    printf '%s\n' "$(secret)" "$(secret)" "$(secret)$(secret)" "$(field_key)" |
        python3 deploy/render.py $made env DB_PASSWORD=- REDIS_PASSWORD=- SECRET_KEY=- FIELD_KEY=- \
            DB_USER=crm DB_NAME=crm DB_ADDRESS=127.0.0.1:3306 REDIS_PORT=6379 INSTANCE_DIR=$instance \
            PUBLIC_URL="$url" WEB_PORT=8000 WEB_WORKERS="$workers" >/dev/null
    chown $user:$user $made/env
    chmod 0600 $made/env
    mv $made/env $env_file
fi
chown $user:$user $env_file
chmod 0600 $env_file
sed -i "s|^CRM_PUBLIC_URL=.*|CRM_PUBLIC_URL='$url'|" $env_file
password_in() { python3 -c 'import sys; from urllib.parse import urlsplit; print(urlsplit(sys.stdin.read()).password or "")'; }
db_password=$(value CRM_DATABASE_URL | password_in)
redis_password=
[ $redis = elsewhere ] || redis_password=$(value CRM_REDIS_URL | password_in)
own=$(value CRM_HOST)  # where the CRM listens on this machine
case $own in '' | 0.0.0.0) own=127.0.0.1 ;; esac
web_port=$(value CRM_PORT)
backups=$(value CRM_BACKUP_DIR)
[ -z "$backups" ] || [ -d "$backups" ] || install -d -m 0700 -o $user -g $user "$backups"

# --- what is written anew

brotli=no
[ ! -e /usr/lib/nginx/modules/ngx_http_brotli_filter_module.so ] || brotli=yes
host=${url#*://}
listen=80
case $url in http://*:*) listen=${host##*:} ;; esac
if [ -n "$certificate" ]; then printf '%s %s\n' "$certificate" "$key" >$made/tls; fi
if [ $nginx = no ]; then touch $made/no-nginx; else rm -f $made/no-nginx; fi
if [ -n "$servers" ]; then printf '%s\n' "$servers" >$made/servers; fi
memory=$(deploy/database-memory) # two values; after more memory was built in, the next run gives MariaDB its share of it
addresses() { local every=${servers:-$own}; echo "${every//,/:$1,}:$1"; }
printf '%s\n' "$redis_password" | python3 deploy/render.py $made \
    nginx/crm.conf supervisor/crm.conf systemd/crm-web.service systemd/crm-background.service \
    systemd/crm.target logrotate mariadb/crm.cnf redis/crm.conf \
    REDIS_PASSWORD=- REDIS_PORT=6379 REDIS_DIR=/var/lib/redis WEB_PORT="$web_port" SOCKETS_PORT=9000 HTTP_PORT="$listen" \
    WEB_ADDRESS="$(addresses "$web_port")" SOCKETS_ADDRESS="$(addresses 9000)" \
    SERVER_NAME="${host%%:*}" LOG_DIR=$logs INSTANCE_DIR=$instance BACKUP_DIR="$backups" ENV_FILE=$env_file USER=$user \
    $memory HAS_BROTLI=$brotli TLS_CERTIFICATE="$certificate" TLS_KEY="$key" >/dev/null

changed() {  # install a file, and say whether that changed anything
    if cmp -s "$1" "$2"; then return 1; fi
    install "${@:3}" "$1" "$2"
}
service_do() {  # start or restart a service of the machine
    if [ -d /run/systemd/system ]; then systemctl "$1" "$2"; else service "$2" "$1"; fi
}

if [ $database = here ]; then
    say "MariaDB"
    if changed $made/mariadb/crm.cnf /etc/mysql/mariadb.conf.d/70-crm.cnf -m 0644; then service_do restart mariadb; else service_do start mariadb; fi
    for _ in $(seq 60); do mariadb -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 1; done
    printf '%s\n' "$db_password" | python3 -c '
import sys
sys.path.insert(0, "deploy")
import render
given = {"DB_NAME": "crm", "DB_USER": "crm", "DB_PASSWORD": sys.stdin.readline().strip()}
print(render.filled(open("deploy/mariadb/database.sql").read(), given))' | mariadb
fi

if [ $redis = here ]; then
    say "Redis"
    grep -qxF 'include /etc/redis/crm.conf' /etc/redis/redis.conf || printf '\ninclude /etc/redis/crm.conf\n' >>/etc/redis/redis.conf
    if changed $made/redis/crm.conf /etc/redis/crm.conf -m 0640 -o root -g redis; then service_do restart redis-server; else service_do start redis-server; fi
fi

say "the database of the CRM"
# Prints the password of the first admin here, where only the operator sees it, and in no log.
setpriv --reuid $user --regid $user --init-groups sh -c 'set -a; . "$1"; set +a; exec .venv/bin/python run.py prepare' - $env_file

ln -sfn "$root/deploy/crm" /usr/local/bin/crm
changed $made/logrotate/crm /etc/logrotate.d/crm -m 0644 || true

say "the CRM, under $manager"
if [ $manager = systemd ]; then
    if [ -e /etc/systemd/system/crm-sockets.service ]; then  # of a former version; crm-background does its work
        systemctl disable --quiet --now crm-sockets
        rm /etc/systemd/system/crm-sockets.service
    fi
    for unit in crm-web.service crm-background.service crm.target; do
        changed $made/systemd/$unit /etc/systemd/system/$unit -m 0644 || true
    done
    systemctl daemon-reload
    systemctl enable --quiet crm.target crm-web crm-background
    systemctl restart crm-web crm-background
    systemctl start crm.target
else
    changed $made/supervisor/crm.conf /etc/supervisor/conf.d/crm.conf -m 0644 || true
    service supervisor status >/dev/null 2>&1 || service supervisor start
    for _ in $(seq 30); do supervisorctl pid >/dev/null 2>&1 && break; sleep 1; done
    supervisorctl reread >/dev/null
    supervisorctl update >/dev/null
    supervisorctl restart 'crm:*' >/dev/null
fi

if [ $nginx = yes ]; then
    say "nginx"
    changed $made/nginx/crm.conf /etc/nginx/sites-available/crm.conf -m 0644 || true
    if [ $manager = systemd ]; then
        install -d -m 0755 /etc/systemd/system/nginx.service.d
        if changed deploy/systemd/nginx.conf /etc/systemd/system/nginx.service.d/crm.conf -m 0644; then systemctl daemon-reload; fi
    fi
    ln -sfn ../sites-available/crm.conf /etc/nginx/sites-enabled/crm.conf
    if [ "$(readlink -f /etc/nginx/sites-enabled/default 2>/dev/null)" = /etc/nginx/sites-available/default ]; then
        rm /etc/nginx/sites-enabled/default
    fi
    nginx -t -q
    if service_do status nginx >/dev/null 2>&1; then service_do reload nginx; else service_do start nginx; fi
fi

# --- does it work?

say "waiting for the CRM"
probe="http://$own:$web_port/readyz"
for n in $(seq 90); do
    if python3 -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$probe" 2>/dev/null; then break; fi
    [ "$n" -lt 90 ] || stop "the CRM does not answer at $probe; see $logs/web.log"
    sleep 1
done
# Each process reports once a minute, and at once when it starts.
# A minute is enough for it; what fails after that is said below.
until=$((SECONDS + 60))
while [ $SECONDS -lt $until ]; do if crm self-test >/dev/null 2>&1; then break; fi; sleep 1; done
say "self-test"
crm self-test || stop "the self-test found something that has failed; what to do is said beside it. Then run this again."
say "The CRM is running at $url. The self-test is also a page: $url/self-test/"
