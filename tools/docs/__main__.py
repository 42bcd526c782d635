"""``make docs``: builds the site into ``artifacts/docs``, then the package, and checks what a package index would show.

Warnings are errors. Nothing is downloaded. At the end it prints what it cost.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SITE: Final = ROOT / "artifacts" / "docs"


def main() -> int:
    """Run both, and return the exit status."""
    with tempfile.TemporaryDirectory(prefix="docs-") as home:
        status = build_site(Path(home)) or check_package(Path(home) / "dist")
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{spent.ru_utime + spent.ru_stime:.0f} s of CPU; the site is {SITE.relative_to(ROOT)}/index.html")
    return status


def build_site(home: Path) -> int:
    """Build the pages."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-n", "-b", "html", "docs", str(SITE)]
    return subprocess.run(command, cwd=ROOT, env=_environment(home), check=False).returncode


def check_package(folder: Path) -> int:
    """Build sdist and wheel, and have twine check what the package index would show."""
    build = [
        shutil.which("uv", path=ROOT / ".uv" / "bin") or "uv",
        "build",
        "--offline",
        "--no-build-isolation",
        "--quiet",
    ]
    built = subprocess.run([*build, "--python", sys.executable, "--out-dir", str(folder)], cwd=ROOT, check=False)
    if built.returncode:
        return built.returncode
    wheel = next(folder.glob("*.whl"))
    if broken := relative_links(zipfile.ZipFile(wheel).read(_metadata_of(wheel)).decode()):
        print(f"error: a package index cannot resolve these links of README.md: {', '.join(broken)}")
        return 1
    packages = [str(path) for path in sorted(folder.iterdir()) if path.suffix in (".whl", ".gz")]
    return subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *packages], check=False).returncode


def _metadata_of(wheel: Path) -> str:
    return next(name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".dist-info/METADATA"))


def relative_links(text: str) -> list[str]:
    """Return the links and pictures of a Markdown text that lead to a file beside it."""
    return re.findall(r"\]\((?!https?:|#|mailto:)([^)]*)\)", text)


def _environment(home: Path) -> dict[str, str]:
    """Return an environment in which Airflow reads no configuration of the user."""
    return {**os.environ, "AIRFLOW_HOME": str(home)}


if __name__ == "__main__":
    sys.exit(main())
