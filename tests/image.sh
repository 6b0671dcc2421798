#!/usr/bin/env bash
# Builds the image from the Dockerfile as it stands and tries it as an operator would: who runs in it, the demo,
# the health check, the stop. With docker or podman where one runs; elsewhere, as root on Debian, with buildah
# and no image registry: mmdebstrap makes the bases, this machine lends the toolchain and the crates' sources.
set -euo pipefail
cd "$(dirname "$0")/.."

image=localhost/accoil-relay:trial
keys=(--env ACCOIL_API_KEY=trial --env ACCOIL_RELAY_WRITE_KEY=trial
    --env ACCOIL_RELAY_ADMIN__LISTEN=0.0.0.0:8081 --env ACCOIL_RELAY_ADMIN__TOKEN=trial-token)
work=$(realpath -m "${CARGO_TARGET_DIR:-target}")/image
log=$work/log
passed=0

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }
fail() {
    tail -n 40 "$log"
    say "FAILED: $*"
    exit 1
}
# quietly COMMAND...: one that talks much; what it said is shown only if it fails.
quietly() { "$@" >>"$log" 2>&1 || fail "$*"; }
# check WHAT COMMAND...: one thing that must hold.
check() {
    "${@:2}" || fail "$1"
    say "ok: $1"
    passed=$((passed + 1))
}

# The two ways to build and run define the same: build; describe (the image's settings as JSON); inside COMMAND...
# (in a container, as the image's user); start (the service); ask_health; ask_admin (from outside of it); stop (with SIGTERM, giving the service's
# exit code); clean_up.

use_engine() {
    service=
    build() { quietly "$engine" build --tag "$image" .; }
    describe() { "$engine" image inspect "$image"; }
    inside() { "$engine" run --rm --entrypoint "$1" "$image" "${@:2}"; }
    start() { service=$("$engine" run --detach --publish 127.0.0.1::8081 "${keys[@]}" "$image"); }
    ask_admin() { curl -fsS "$@" "http://$("$engine" port "$service" 8081/tcp | head -n 1)/metrics"; }
    ask_health() { "$engine" exec "$service" accoil-relay healthcheck; }
    stop() {
        quietly "$engine" stop -t 20 "$service"
        return "$("$engine" inspect --format '{{.State.ExitCode}}' "$service")"
    }
    clean_up() { [ -z "$service" ] || quietly "$engine" rm --force --volumes "$service"; }
}

use_buildah() {
    install_tools
    buildah=(buildah --storage-driver overlay --root "$work/storage" --runroot "$work/run")
    # Where overlay does not work, vfs does, but it copies each layer whole: keeping them would cost minutes.
    if "${buildah[@]}" info >>"$log" 2>&1; then export BUILDAH_LAYERS=true; else buildah[2]=vfs; fi
    # The containers get a network of their own: the image's ports are free in it, whatever runs outside.
    network=accoil-relay-$$
    run=(ip netns exec "$network" "${buildah[@]}" run)
    containers=()
    service=

    build() {
        make_base localhost/build-base --include=ca-certificates,gcc,libc6-dev
        make_base localhost/runtime-base
        lend_crates
        say "building the Dockerfile"
        quietly "${buildah[@]}" build --pull-never --tag "$image" \
            --volume "$(rustc --print sysroot):/usr/local:ro" --volume "$work/home:/root" \
            --build-arg BUILD_IMAGE=localhost/build-base --build-arg RUNTIME_IMAGE=localhost/runtime-base .
        # Two, for buildah fails when a container is run twice at the same time.
        containers=("$("${buildah[@]}" from --pull-never "$image")" "$("${buildah[@]}" from --pull-never "$image")")
        ip netns add "$network"
        ip -n "$network" link set lo up
        # An address that is not loopback, as a container has one.
        ip -n "$network" address add 192.0.2.1/32 dev lo
    }
    describe() { "${buildah[@]}" inspect --type image "$image"; }
    inside() { "${run[@]}" "${containers[0]}" -- "$@"; }
    start() {
        timeout --signal=KILL 60 "${run[@]}" "${keys[@]}" "${containers[1]}" -- accoil-relay serve >>"$log" 2>&1 &
        service=$!
    }
    ask_admin() { ip netns exec "$network" curl -fsS "$@" http://192.0.2.1:8081/metrics; }
    ask_health() { "${run[@]}" "${keys[@]}" "${containers[0]}" -- accoil-relay healthcheck; }
    stop() {
        # Buildah does not hand a signal on; the service itself must get it.
        local process
        for process in $(ip netns pids "$network"); do
            [ "$(<"/proc/$process/comm")" != accoil-relay ] || kill -TERM "$process"
        done
        wait "$service"
    }
    clean_up() {
        set +e
        ip netns pids "$network" | xargs --no-run-if-empty kill -KILL
        wait
        [ ${#containers[@]} = 0 ] || "${buildah[@]}" rm "${containers[@]}"
        ip netns delete "$network"
    } >>"$log" 2>&1
}

install_tools() {
    type -P buildah mmdebstrap ip >>"$log" && return
    say "installing buildah and mmdebstrap"
    quietly apt-get update
    quietly apt-get install --yes --no-install-recommends buildah mmdebstrap iproute2
}

# make_base NAME OPTION...: an image of this machine's Debian release, from wherever this machine gets its packages.
make_base() {
    "${buildah[@]}" inspect --type image "$1" >>"$log" 2>&1 && return
    say "making $1"
    local file sources=()
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [ ! -e "$file" ] || sources+=("$file")
    done
    containers=("$("${buildah[@]}" from scratch)")
    # shellcheck source=/dev/null
    quietly mmdebstrap --variant=minbase "${@:2}" "$(. /etc/os-release && echo "$VERSION_CODENAME")" \
        "$("${buildah[@]}" mount "${containers[0]}")" "${sources[@]}"
    quietly "${buildah[@]}" commit --rm "${containers[0]}" "$1"
    containers=()
}

# The home folder of the build's root: the sources of all crates, and a cargo setting that finds them there.
lend_crates() {
    quietly cargo vendor --locked --versioned-dirs "$work/home/crates"
    mkdir -p "$work/home/.cargo"
    printf '[source.crates-io]\nreplace-with = "lent"\n[source.lent]\ndirectory = "crates"\n' \
        >"$work/home/.cargo/config.toml"
}

# has_setting JSON: whichever engine describes the image.
has_setting() { grep --quiet --fixed-strings -- "$1" <<<"$description"; }

becomes_healthy() {
    for _ in {1..50}; do
        ask_health >>"$log" 2>&1 && return
        sleep 0.2
    done
    return 1
}

# grep reads to the end: with --quiet it would close the pipe while curl still writes.
has_metrics() { ask_admin --header 'Authorization: Bearer trial-token' | grep '^# TYPE ' >/dev/null; }
asks_for_the_token() { ! ask_admin >>"$log" 2>&1; }

mkdir -p "$work"
: >"$log"
# Podman's and buildah's own format has no health check.
export BUILDAH_FORMAT=docker BUILDAH_ISOLATION=chroot
if docker info; then engine=docker; elif podman info; then engine=podman; else engine=; fi >>"$log" 2>&1
if [ -n "$engine" ]; then use_engine; else use_buildah; fi
trap clean_up EXIT

build
description=$(describe | tr -d ' \n')
check "the image says which user" has_setting '"User":"10001:10001"'
check "the image says how to stop" has_setting '"StopSignal":"SIGTERM"'
check "the image says how to ask for health" has_setting '"Test":["CMD","accoil-relay","healthcheck"]'
check "the image starts the relay" has_setting '"Entrypoint":["accoil-relay"]'
check "the image starts the service" has_setting '"Cmd":["serve"]'
# shellcheck disable=SC2016 # The container's shell expands these.
{
    check "it runs as user 10001" inside sh -c 'test "$(id -u)" = 10001'
    check "the user owns the data folder and starts in it" inside sh -c 'test "$PWD" = /data && test -O /data'
}
check "it has a CA bundle" inside test -s /etc/ssl/certs/ca-certificates.crt
# Stripped it has about 30 MB, with its symbols and debug information more than 160 MB.
# shellcheck disable=SC2016 # The container's shell expands it.
check "the program is stripped: below 60 MB" inside sh -c 'test "$(stat -c %s /usr/local/bin/accoil-relay)" -lt 60000000'
check "demo --once" inside accoil-relay demo --once
start
check "the service becomes healthy" becomes_healthy
check "the admin listener answers from outside" has_metrics
check "it asks for its token" asks_for_the_token
check "the service stops on SIGTERM with exit code 0" stop
echo "$passed passed, 0 failed"
