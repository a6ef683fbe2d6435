"""Makes the checkout importable in a virtual environment and writes its console scripts.

An editable install would compile the extension a second time; `make build` has already put it in its package.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROJECTS = (ROOT / "pyproject.toml", ROOT / "devnet" / "pyproject.toml")


def main(venv: Path) -> None:
    """Writes the path file and one script for each `[project.scripts]` entry into `venv`."""
    python = (venv / "bin" / "python").absolute()
    site = venv / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    (site / "kale_pool_checkout.pth").write_text(f"{ROOT}\n")
    for project in PROJECTS:
        scripts = tomllib.loads(project.read_text()).get("project", {}).get("scripts", {})
        for name, target in scripts.items():
            module, function = target.split(":")
            script = venv / "bin" / name
            script.write_text(f"#!{python}\nimport sys\n\nfrom {module} import {function}\n\nsys.exit({function}())\n")
            script.chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
