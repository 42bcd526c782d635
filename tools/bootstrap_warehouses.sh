#!/bin/sh
# Make the environment in which the example DAGs of cloud warehouses are parsed and planned: .venv, and their providers.
#
#   tools/bootstrap_warehouses.sh .venv-warehouses tools/requirements-warehouses.txt
#
# It sees all that .venv has, through a path file, and adds what it names; .venv itself stays as the lock file has it.
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
packages=$("$target/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$packages/airflow_3.pth"
.uv/bin/uv pip install --quiet --no-deps --python "$target/bin/python" --requirements "$requirements"
touch "$target/.ready"
