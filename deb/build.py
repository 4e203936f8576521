#!/usr/bin/env python3
"""`make deb`: edgemon as a Debian package of its own, with what it needs, for the Python of this distribution.

The dependencies lie in a virtual environment below /usr/lib/edgemon over /usr/bin/python3, so that nothing is fetched
on the device and nothing of the distribution's is replaced. Three of them are compiled: the package is for one
architecture and one minor version of Python, and says so in its dependencies. Both can be another machine's (--arch,
--python), since the wheels are taken as they are.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parent
LIB = "usr/lib/edgemon"
TAGS = {"amd64": "x86_64", "arm64": "aarch64"}
"""The architectures that every dependency has a wheel for."""
CONTROL = """Package: edgemon
Version: {version}
Architecture: {arch}
Maintainer: The edgemon authors <edgemon@localhost>
Installed-Size: {size}
Depends: python3 (>= {python}), python3 (<< {next}), systemd (>= 245), init-system-helpers (>= 1.54)
Section: admin
Priority: optional
Description: monitor of one edge-AI device
 Reads the hardware, runs small inference probes on the real runtime, holds
 every result against a recorded baseline, evaluates alert rules on the device
 and exports everything to Prometheus.
"""


def main() -> None:
    """Build it and print its path."""
    chosen = arguments()
    stage = chosen.output / f"edgemon_{chosen.version}_{chosen.arch}"
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    packages(stage, chosen)
    files(stage)
    control(stage, chosen)
    deb = f"{stage}.deb"
    run("dpkg-deb", "--root-owner-group", f"-Z{chosen.compress}", "--build", str(stage), deb)
    shutil.rmtree(stage)
    print(deb)


def arguments() -> argparse.Namespace:
    """What to build, and for whom."""
    it = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    it.add_argument("--output", type=Path, default=SOURCE / "build")
    it.add_argument("--version", default=re.findall(r'"(.+)"', (SOURCE / "edgemon/__init__.py").read_text())[-1])
    it.add_argument("--arch", default=run("dpkg", "--print-architecture"))
    version = "import sys; print('%d.%d' % sys.version_info[:2])"
    it.add_argument("--python", metavar="3.X", default=run("/usr/bin/python3", "-c", version))
    it.add_argument("--extras", default="", help="such as onnx: engines to carry")
    it.add_argument("--compress", default="xz", help="as dpkg-deb -Z (default: xz)")
    chosen = it.parse_args()
    if chosen.arch not in TAGS:
        it.error(f"there are wheels for {' and '.join(TAGS)}, not for {chosen.arch}: there, edgemon service install")
    return chosen


def packages(stage: Path, chosen: argparse.Namespace) -> None:
    """edgemon and its dependencies, compiled, in the place of a virtual environment."""
    site = stage / LIB / "lib" / f"python{chosen.python}" / "site-packages"
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet")
    wheels = stage / "wheels"
    run(*pip, "wheel", "--no-deps", "--wheel-dir", str(wheels), str(SOURCE))
    wheel = str(next(wheels.glob("*.whl"))) + (f"[{chosen.extras}]" if chosen.extras else "")
    tag = TAGS[chosen.arch]
    platforms = [f"--platform=manylinux{one}_{tag}" for one in ("_2_28", "_2_27", "_2_26", "_2_17", "2014")]
    target = ("--target", str(site), "--python-version", chosen.python, "--only-binary=:all:", "--no-compile")
    run(*pip, "install", *target, *platforms, wheel)
    shutil.rmtree(wheels)
    shutil.rmtree(site / "bin", ignore_errors=True)
    if run("/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])") == chosen.python:
        # never looked at again: its user could not write them anew, and a wrong clock would ask for it at every start
        mode = ("--invalidation-mode", "unchecked-hash")
        run("/usr/bin/python3", "-m", "compileall", "-q", "-j0", *mode, "-s", str(stage), "-p", "/", str(site))


def files(stage: Path) -> None:
    """Everything beside the packages."""
    bin_ = stage / LIB / "bin"
    put(stage / LIB / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = true\n")
    put(
        bin_ / "edgemon",
        f"#!/{LIB}/bin/python\nimport sys\n\nfrom edgemon.cli import main\n\nsys.exit(main())\n",
        0o755,
    )
    (bin_ / "python").symlink_to("/usr/bin/python3")
    (stage / "usr/bin").mkdir(parents=True)
    (stage / "usr/bin/edgemon").symlink_to("../lib/edgemon/bin/edgemon")
    units = SOURCE / "edgemon/systemd"
    unit = (units / "edgemon.service").read_text().replace("@PYTHON@", f"/{LIB}/bin/python")
    put(stage / "usr/lib/systemd/system/edgemon.service", unit)
    put(stage / "usr/lib/sysusers.d/edgemon.conf", (units / "sysusers.conf").read_text())
    put(stage / "usr/lib/tmpfiles.d/edgemon.conf", (units / "tmpfiles.conf").read_text())
    put(stage / "etc/edgemon/edgemon.yml", (HERE / "edgemon.yml").read_text())
    for rules in (SOURCE / "alerts").glob("*.yml"):
        put(stage / "etc/edgemon/rules" / rules.name, rules.read_text())
    document(stage / "usr/share/doc/edgemon")


def document(where: Path) -> None:
    """Licence, changes and manual."""
    put(where / "copyright", "License: Apache-2.0, as in /usr/share/common-licenses/Apache-2.0\n")
    put(where / "README.md", (SOURCE / "README.md").read_text())
    with gzip.GzipFile(where / "changelog.gz", "wb", mtime=0) as file:
        file.write((SOURCE / "CHANGELOG.md").read_bytes())


def control(stage: Path, chosen: argparse.Namespace) -> None:
    """What dpkg wants to know."""
    paths = sorted(path for path in stage.rglob("*") if path.is_file() and not path.is_symlink())
    major, minor = chosen.python.split(".")
    known = {
        "version": chosen.version, "arch": chosen.arch, "python": chosen.python, "next": f"{major}.{int(minor) + 1}",
        "size": sum(path.stat().st_size for path in paths) // 1024,
    }  # fmt: skip
    where = stage / "DEBIAN"
    put(where / "control", CONTROL.format(**known))
    put(
        where / "conffiles", "".join(f"/{path.relative_to(stage)}\n" for path in paths if stage / "etc" in path.parents)
    )
    sums = (f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(stage)}\n" for path in paths)
    put(where / "md5sums", "".join(sums))
    for name in ("postinst", "prerm", "postrm"):
        put(where / name, (HERE / name).read_text(), 0o755)


def put(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def run(*argv: str) -> str:
    """What a program printed; when it fails, its message and the end."""
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "LC_ALL": "C"})
    if ran.returncode:
        sys.exit(f"{' '.join(argv)}: {(ran.stderr or ran.stdout).strip()}")
    return ran.stdout.strip()


main()
