#!/bin/sh
# Make the environment of one rival of `make bench` from its pinned requirements, next to the project's own.
#
#   tools/bootstrap_rivals.sh .venv-rivals-dlt bench/rivals/requirements-dlt.txt
#
# One environment each: singer-sdk and airbyte-cdk bring different packages that both install the module `backoff`.
# Takes uv and the interpreter from tools/bootstrap.sh's .uv and .venv, so that all halves run on the same Python.
# Bytecode is compiled here, so that no measurement pays for it. After a change of a requirements-NAME.in, resolve it anew:
#
#   .uv/bin/uv pip compile --universal --python-version 3.11 --no-header --no-annotate \
#       bench/rivals/requirements-NAME.in -o bench/rivals/requirements-NAME.txt
set -eu

target=$1
requirements=$2

cd "$(dirname "$0")/.."

# uv reads SSL_CERT_FILE; pip is often told by PIP_CERT alone. A company's certificate authority should work for both.
if [ -z "${SSL_CERT_FILE:-}" ] && [ -n "${PIP_CERT:-}" ]; then
    export SSL_CERT_FILE="$PIP_CERT"
fi

echo "Installing $requirements into $target"
UV_PYTHON_DOWNLOADS=never .uv/bin/uv venv --clear --quiet --python .venv/bin/python "$target"
.uv/bin/uv pip sync --quiet --compile-bytecode --python "$target/bin/python" "$requirements"
touch "$target/.ready"
