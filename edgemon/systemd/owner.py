"""Root at the state directory of a service: it becomes the user to whom that belongs.

What root made there, the daemon could not write; and what another user may write, root should not open.
"""

from __future__ import annotations

import os
import pwd
import sys

from edgemon.errors import SetupError
from edgemon.systemd import HERE
from edgemon.systemd.nodes import platforms, supplement


def become(where: str) -> None:
    """Be the owner of a directory from now on, with the groups of the service; nothing unless this is root's process.

    SetupError where that user may not read edgemon itself.
    """
    if os.geteuid() or not os.path.isdir(where) or not (owner := os.stat(where).st_uid):
        return
    name, group, home = _entry(owner, os.stat(where).st_gid)
    os.setgroups([*(os.getgrouplist(name, group) if name else [group]), *supplement(platforms())])
    os.setegid(group)
    os.seteuid(owner)
    for path in (sys.executable, HERE):
        if not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            raise SetupError(
                f"{where} belongs to {name or owner}, who may not read {path}; install edgemon in /opt, say"
            )
    os.seteuid(0)
    os.setgid(group)
    os.setuid(owner)
    os.environ.update(HOME=home, USER=name, LOGNAME=name)


def _entry(owner: int, group: int) -> tuple[str, int, str]:
    try:
        found = pwd.getpwuid(owner)
    except KeyError:  # as in a container, where the directory came from outside
        return "", group, "/"
    return found.pw_name, found.pw_gid, found.pw_dir
