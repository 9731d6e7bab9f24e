# shellcheck shell=bash disable=SC2034
# Sourced by the scripts beside it; leaves them in the root of the project.

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# need COMMAND...: install the Debian packages of these names if a command is missing.
need() {
    local command missing=()
    for command in "$@"; do
        command -v "$command" >/dev/null || missing+=("$command")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        fail "${missing[*]} needed; install it (on Debian, as root: apt-get install ${missing[*]})"
    fi
    echo "Installing ${missing[*]} ..."
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${missing[@]}"; } \
        </dev/null >/dev/null || fail "cannot install ${missing[*]}"
}

# bounded SECONDS COMMAND...: run a command; end it, and all it started, after that time or with this script.
bounded() {
    local status=0
    timeout --kill-after 10 "$@" <&0 &
    trap 'kill "$!"; wait "$!" || :; exit 130' INT TERM
    wait "$!" || status=$?
    trap - INT TERM
    return "$status"
}

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
need buildah
# Neither an OCI runtime nor a network of its own is needed to build and try the image.
export BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}
# Inside a container, say a CI job's, overlay mounts may be refused. buildah then falls back by itself
# but only once, so it is asked twice; and Debian's does not heed STORAGE_DRIVER.
if ! { buildah info && buildah info; } >/dev/null 2>&1; then
    mkdir -p build
    printf '[storage]\ndriver = "vfs"\n' >build/storage.conf
    export CONTAINERS_STORAGE_CONF=$PWD/build/storage.conf
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
image=${IMAGE:-localhost/ecsgateway:$version}
