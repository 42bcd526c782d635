#!/bin/sh
# A Chromium for the browser tests, if the machine has none: Debian's own package.
set -eu
if command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ -n "${CHROMIUM:-}" ]; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "error: no Chromium found and no apt-get to install it; install Chromium, or name it: CHROMIUM=/path make test-browser" >&2
    exit 1
fi
as_root=$([ "$(id -u)" = 0 ] || echo sudo)
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends chromium >/dev/null
