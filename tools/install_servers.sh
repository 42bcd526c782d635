#!/bin/sh
# Servers that tests and the soak start themselves, as far as the machine has none: Debian's own packages, not started.
# Usage: install_servers.sh mariadb redis pgbouncer
set -eu
PATH="$PATH:/usr/sbin"
missing=""
for name in "$@"; do
    case "$name" in
        mariadb) program=mariadb-install-db package=mariadb-server ;;
        redis) program=redis-server package=redis-server ;;
        pgbouncer) program=pgbouncer package=pgbouncer ;;
        *) echo "error: $name is no server that this script knows: mariadb, redis, pgbouncer" >&2; exit 2 ;;
    esac
    command -v "$program" >/dev/null || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "not found, and no apt-get to install it:$missing; what needs it is skipped" >&2
    exit 0
fi
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
$as_root apt-get update -qq
# shellcheck disable=SC2086 - a list of packages
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
