#!/usr/bin/env bash
# Build the container image with buildah.
#   IMAGE     its name; localhost/ecsgateway:<version> by default
#   BASE      the image it is based on; by default the Dockerfile's or, where that cannot be
#             pulled, one made of Debian packages by base-image.sh
#   PIP_CERT  a CA bundle for pip to trust during the build; not left in the image
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

base=${BASE:-}
if [ -z "$base" ]; then
    base=$(sed -n 's/^ARG BASE=//p' Dockerfile | head -n 1)
    if ! bounded 300 buildah pull --quiet --policy missing "$base" >/dev/null; then
        base=localhost/ecsgateway-base:bookworm
        echo "The default base cannot be pulled (see above): using $base instead."
        # One made earlier is taken as it is. `buildah rmi` it to get today's packages.
        buildah inspect --type image "$base" >/dev/null 2>&1 || bash deploy/base-image.sh "$base"
    fi
fi

revision=$(git describe --always --dirty --abbrev=40 --exclude '*' 2>/dev/null || echo unknown)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}

options=(--network host --build-arg "BASE=$base" --build-arg "VERSION=$version" --build-arg "REVISION=$revision")
# All files and the image get one time, so that building again gives the same image.
options+=(--timestamp "$epoch" --identity-label=false)
[ -z "${PIP_CERT:-}" ] || options+=(--secret "id=ca,src=$PIP_CERT")
for variable in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
    [ -z "${!variable:-}" ] || options+=(--build-arg "$variable=${!variable}")
done

echo "Building $image on $base (about a minute) ..."
mkdir -p build
bounded 1200 buildah build "${options[@]}" --tag "$image" . </dev/null >build/image.log 2>&1 \
    || { tail -n 30 build/image.log >&2; fail "no image was built; build/image.log has it all"; }
buildah images "$image"
