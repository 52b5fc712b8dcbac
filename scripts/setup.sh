#!/usr/bin/env bash
# Set-up from a bare Debian or Ubuntu machine on: `scripts/setup.sh run|test`.
# Each step leaves a stamp (a hash of what it was made from); a step whose stamp is fresh is not done again.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-run}
venv=.venv
# Stamps live inside what they vouch for: who deletes the folder deletes the stamp.
npm_stamp=node_modules/.stamp
vendor_stamp=node_modules/.stamp-vendor  # what lies in app/static/vendor is served, so no stamp there
words_stamp=$venv/.stamp-words

say() { printf '== %s\n' "$*" >&2; }
stop() { printf 'Set-up stopped: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
have_any() { local each; for each; do if have "$each"; then return 0; fi; done; return 1; }
hash_of() { { cat -- "$@" 2>/dev/null || true; } | sha256sum | cut -d ' ' -f 1; }  # a missing file counts as empty
fresh() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# --- packages of the operating system

venv_works() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# The first Python >= 3.11 that can make a virtual environment, else the first >= 3.11. The distribution's comes first: it
# is built with profiles and optimized when linked, and the tests take a fifth less time than with one that pyenv builds.
find_python() {
    local each first=
    for each in ${PYTHON:+"$PYTHON"} /usr/bin/python3 python3 python3.11 python3.12 python3.13 python3.14; do
        if have "$each" && new_enough "$each"; then
            if venv_works "$each"; then echo "$each"; return; fi
            first=${first:-$each}
        fi
    done
    echo "$first"
}

is_distribution() { grep -q "^ID=$1\$" /etc/os-release 2>/dev/null; }

browser_packages() {  # Debian has the lighter headless shell; others have a whole browser, which serves as well
    if is_distribution debian; then
        have chromium-headless-shell || printf '%s\n' chromium-headless-shell fonts-noto-core
    elif ! have_any chromium-headless-shell chromium chromium-browser google-chrome google-chrome-stable; then
        if is_distribution ubuntu; then echo chromium-browser; else echo chromium; fi
        echo fonts-noto-core
    fi
}

missing_packages() {  # names of apt packages, one a line
    local python
    python=$(find_python)
    if [ -z "$python" ]; then
        printf '%s\n' python3 python3-venv
    elif [ ! -x $venv/bin/python ] && ! venv_works "$python"; then
        # Debian splits ensurepip off, into a package named after the version
        echo "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    fi
    if [ -f package-lock.json ] && ! { npm_is_fresh && vendor_is_fresh; }; then
        have node || echo nodejs
        have npm || echo npm
    fi
    if [ "$purpose" = test ]; then
        # the core package has the programs and starts no server of the machine's own
        have mariadbd && have mariadb-install-db || echo mariadb-server-core
        have_any mariadb-dump mysqldump || echo mariadb-client
        have redis-server || echo redis-server
        have curl || echo curl
        have nginx || echo nginx
        have dovecot || echo dovecot-imapd
        have age || echo age
        have gpg || echo gnupg
        browser_packages
    fi
}

install_packages() {
    local packages=$1 root=()
    if ! have apt-get; then
        stop "this machine lacks $packages and has no apt-get; install them with its own package manager and try again."
    fi
    if [ "$(id -u)" != 0 ]; then
        if ! { have sudo && sudo -n true 2>/dev/null; }; then
            stop "this machine lacks $packages; run: sudo apt-get update && sudo apt-get install -y $packages"
        fi
        root=(sudo -n)
    fi
    say "installing $packages"
    # shellcheck disable=SC2086  # a list of names, meant to be split
    if ! { "${root[@]}" apt-get update -qq &&
           "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Dpkg::Use-Pty=0 --no-install-recommends $packages; } >&2; then
        stop "apt-get could not install $packages; mend that (its own words stand above) and try again."
    fi
}

# --- our own steps

make_venv() {
    local python
    if [ -x $venv/bin/python ] && ! $venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        say "the virtual environment no longer works; making it anew"
        rm -rf $venv
    fi
    if [ ! -x $venv/bin/python ]; then
        python=$(find_python)
        say "making the virtual environment with $("$python" --version)"
        rm -rf $venv
        "$python" -m venv $venv
    fi
    if [ "$purpose" = test ]; then install_python_packages requirements.txt requirements-dev.txt; fi
    install_python_packages requirements.txt
}

install_python_packages() {  # the last file named includes the others
    local file=${!#} wanted stamp
    wanted=$(hash_of "$@")
    stamp=$venv/.stamp-$file
    if fresh "$stamp" "$wanted"; then return 0; fi
    say "installing the Python packages of $file"
    $venv/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r "$file" >&2 ||
        stop "pip could not install $file (its own words stand above); is the network reachable?"
    echo "$wanted" >"$stamp"
    if [ "$file" != requirements.txt ]; then hash_of requirements.txt >$venv/.stamp-requirements.txt; fi
}

npm_hash() { hash_of package.json package-lock.json; }

vendor_hash() {  # vendor.py drops the style rules that none of these files names
    { find scripts/vendor.py package-lock.json app/static/icons.txt app/templates app/static/js app/web -type f \
        ! -name '*.pyc' 2>/dev/null || true; } | LC_ALL=C sort | xargs -r -d '\n' sha256sum | sha256sum | cut -d ' ' -f 1
}

npm_is_fresh() { fresh $npm_stamp "$(npm_hash)"; }
vendor_is_fresh() { [ -f app/static/vendor/manifest.json ] && fresh $vendor_stamp "$(vendor_hash)"; }

make_browser_files() {
    [ -f package-lock.json ] || return 0
    if ! npm_is_fresh; then
        say "fetching the browser libraries"
        npm ci --ignore-scripts --no-fund --no-audit --loglevel=error >&2 ||
            stop "npm could not fetch the browser libraries (its own words stand above); is the network reachable?"
        npm_hash >$npm_stamp
    fi
    if [ -f scripts/vendor.py ] && ! vendor_is_fresh; then
        say "picking the browser files that the pages use"
        $venv/bin/python scripts/vendor.py >/dev/null || stop "scripts/vendor.py failed (its own words stand above)."
        vendor_hash >$vendor_stamp
    fi
}

make_words() {  # .po, which people edit, into .mo, which gettext reads
    local catalogues wanted
    catalogues=$(catalogue_files)
    [ -n "$catalogues" ] || return 0
    # shellcheck disable=SC2086  # a list of paths without spaces
    wanted=$(hash_of $catalogues)
    if fresh $words_stamp "$wanted" && [ -z "$(catalogue_without_mo)" ]; then return 0; fi
    say "compiling the translations"
    $venv/bin/pybabel --quiet compile --directory translations --domain messages >&2
    echo "$wanted" >$words_stamp
}

# errors.po is read as it stands
catalogue_files() { { find translations -name 'messages.po' 2>/dev/null || true; } | LC_ALL=C sort; }
catalogue_without_mo() { catalogue_files | while read -r po; do [ -f "${po%.po}.mo" ] || echo "$po"; done; }

case $purpose in run | test) ;; *) stop "say 'run' or 'test', not '$purpose'." ;; esac

# One set-up at a time: `make run` and `make test` may be started together on a fresh checkout.
exec 9<scripts/setup.sh
flock 9

packages=$(missing_packages | tr '\n' ' ' | sed 's/ $//')
if [ -n "$packages" ]; then
    install_packages "$packages" 9<&-  # a service that starts now must not keep the lock
    [ -n "$(find_python)" ] || stop "the product needs Python 3.11 or newer, which this machine's apt-get does not have."
    left=$(missing_packages | tr '\n' ' ' | sed 's/ $//')
    if [ -n "$left" ]; then stop "apt-get installed $packages, and yet $left is not found on PATH."; fi
fi
make_venv
make_browser_files
make_words
