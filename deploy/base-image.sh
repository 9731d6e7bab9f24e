#!/usr/bin/env bash
# Make a base image of Debian 12, which has Python 3.11, from the mirror this machine's apt uses.
# For where the Dockerfile's default base cannot be pulled.
#   base-image.sh NAME
set -euo pipefail
# shellcheck source=deploy/common.sh
. "$(dirname "$0")/common.sh"
name=${1:?name of the image}
suite=bookworm
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

[ "$(id -u)" = 0 ] || fail "only root can make a base image with debootstrap; or set BASE to an image with Python 3.11"
need debootstrap
[ -r $keyring ] || fail "$keyring is missing: this works on Debian only; or set BASE to an image with Python 3.11"

# uri LABEL: where apt gets the packages of the archive of that label.
uri() {
    # shellcheck disable=SC2016 # the names are apt's
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | awk -v label="$1" '$1 == label { print $2; exit }'
}
[ -n "$(uri Debian)" ] || apt-get update >/dev/null
mirror=$(uri Debian)
security=$(uri Debian-Security)
[ -n "$mirror" ] || fail "apt has no Debian mirror configured"

container=$(buildah from scratch)
trap 'buildah rm "$container" >/dev/null' EXIT
root=$(buildah mount "$container")

echo "Making $name of Debian packages (a minute or two) ..."
log=$(bounded 900 debootstrap --variant minbase --include python3,python3-venv,ca-certificates \
    --keyring $keyring $suite "$root" "$mirror" </dev/null 2>&1) || { tail -n 20 <<<"$log" >&2; fail "debootstrap failed"; }

{
    echo "deb $mirror $suite main"
    echo "deb $mirror $suite-updates main"
    [ -z "$security" ] || echo "deb $security $suite-security main"
} >"$root/etc/apt/sources.list"
log=$(bounded 600 buildah run --network host --env DEBIAN_FRONTEND=noninteractive "$container" -- \
    sh -c 'apt-get update && apt-get upgrade --yes' </dev/null 2>&1) || { tail -n 20 <<<"$log" >&2; fail "apt-get upgrade failed"; }

# Nothing of this machine and nothing a service has no use for.
find "$root/usr/share/doc" ! -type d ! -name copyright -delete
find "$root/usr/share/doc" -type d -empty -delete
find "$root/var/log" "$root/var/cache" -type f -delete
rm -rf "${root:?}"/usr/share/{man,info,locale,lintian}/* "${root:?}"/var/lib/apt/lists/* \
    "${root:?}"/etc/{apt/sources.list,resolv.conf,hostname} "${root:?}"/{dev,run,tmp}/*
: >"$root/etc/machine-id"
chmod 755 "$root"

buildah config --cmd python3 --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env LANG=C.UTF-8 "$container"
buildah umount "$container" >/dev/null
buildah commit --quiet "$container" "$name" >/dev/null
