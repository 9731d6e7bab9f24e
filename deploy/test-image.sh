#!/usr/bin/env bash
# Fail unless the image that build-image.sh built is in order and serves.
#   IMAGE  its name; localhost/ecsgateway:<version> by default
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"

inspect() {
    buildah inspect --type image "$@" "$image"
}
inspect >/dev/null 2>&1 || fail "there is no $image; build it first: make image"
config=$(inspect --format '{{with .OCIv1.Config}}{{.User}} {{.Entrypoint}} {{.Cmd}} {{.ExposedPorts}}{{end}}')
expected='65532:65532 [ecsgateway] [serve --listen 0.0.0.0:50051] map[50051/tcp:{}]'
[ "$config" = "$expected" ] || fail "the image's configuration is $config, not $expected"
inspected=$(inspect)
! grep --quiet -e PIP_ -e /run/secrets <<<"$inspected" || fail "settings of the build are left in the image"

container=$(buildah from --pull-never "$image")
trap 'buildah rm "$container" >/dev/null' EXIT

in_image() {
    bounded 90 buildah run --network host "$container" -- "$@"
}
in_image ecsgateway --help </dev/null >/dev/null || fail "ecsgateway --help fails"
in_image fakeecs --help </dev/null >/dev/null || fail "fakeecs --help fails"
in_image ecsgateway export /tmp/export </dev/null >/dev/null || fail "ecsgateway export fails"
in_image python3 - <deploy/smoke.py || fail "$image does not serve"
echo "$image serves."
