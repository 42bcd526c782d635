#!/bin/sh
# A Redis for the Celery tests and the soak, if the machine has none: Debian's own package, not started.
set -eu
if command -v redis-server >/dev/null; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "no Redis found and no apt-get to install it; what needs the Celery executor is skipped" >&2
    exit 0
fi
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends redis-server >/dev/null
