#!/bin/sh
# Make one of the project's environments from the lock file, with nothing but Python 3.11 to 3.13 on the machine.
#
#   tools/bootstrap.sh .venv airflow-3 docs
#   tools/bootstrap.sh .venv-2.11 airflow-2
#
# uv comes from a wheel into a venv of its own (.uv/), made with the standard library. PYTHON=... picks an interpreter.
set -eu

uv_version=0.13.9
target=$1
shift
groups=$*

cd "$(dirname "$0")/.."

# The first interpreter that is really there (a version manager's shim may only print an error) and in range.
find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            "$candidate" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    echo "error: Python 3.11, 3.12 or 3.13 is needed; none of '${PYTHON:-python3 python3.13 python3.12 python3.11 python}' is one." >&2
    echo "       Install one of them, or name it: make PYTHON=/path/to/python3.12 ..." >&2
    exit 1
}

# uv reads SSL_CERT_FILE; pip is often told by PIP_CERT alone. A company's certificate authority should work for both.
if [ -z "${SSL_CERT_FILE:-}" ] && [ -n "${PIP_CERT:-}" ]; then
    export SSL_CERT_FILE="$PIP_CERT"
fi

python=$(find_python)

if ! .uv/bin/uv --version 2>/dev/null | grep -q "^uv $uv_version\b"; then
    echo "Installing uv $uv_version into .uv (with $python)"
    "$python" -m venv --clear .uv || {
        echo "error: $python cannot make a venv with pip. On Debian and Ubuntu: apt-get install python3-venv" >&2
        exit 1
    }
    .uv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$uv_version"
fi

# Bytecode is compiled here, once: Airflow takes seconds to import without it, in every process that tests start.
echo "Installing the locked dependencies of $groups into $target"
set --
for group in $groups; do
    set -- "$@" --group "$group"
done
UV_PROJECT_ENVIRONMENT="$target" UV_PYTHON_DOWNLOADS=never \
    .uv/bin/uv sync --frozen "$@" --python "$python" --compile-bytecode --no-progress --quiet
touch "$target/.ready"
