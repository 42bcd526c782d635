#!/bin/sh
# A MariaDB for the database tests and the soak, if the machine has none: Debian's own package, not started.
set -eu
if command -v mariadb-install-db >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "no MariaDB found and no apt-get to install it; the tests on MariaDB are skipped" >&2
    exit 0
fi
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends mariadb-server >/dev/null
