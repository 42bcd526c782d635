#!/bin/sh
# A PgBouncer for the soak, if the machine has none: Debian's own package, not started.
set -eu
if command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "no PgBouncer found and no apt-get to install it; the soak goes on without it" >&2
    exit 0
fi
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends pgbouncer >/dev/null
