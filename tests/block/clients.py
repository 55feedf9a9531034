# tests/block/clients.py - runs programs that call qemu-img and its like, with our tools for them
# SPDX-License-Identifier: GPL-3.0-or-later
"""`Tools` makes a folder with QEMU's names for our tools, first in PATH; it notes every command
line, so that a test can see that its client really called them. VITRINE_CLIENTS=distribution leaves
the distribution's tools behind those names: what a test expects can so be checked itself."""
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import images
from images import TOOLS, Skip, check

NAMES = ("img", "io", "nbd", "storage-daemon")


class Tools:
    """The folder and what clients need in their environment."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="vitrine-tools-")
        self.log = os.path.join(self.path, "calls")
        for name in NAMES:
            program = os.path.join(TOOLS, f"vitrine-{name}")
            if os.environ.get("VITRINE_CLIENTS") == "distribution":
                program = shutil.which(f"qemu-{name}")
            link = os.path.join(self.path, f"qemu-{name}")
            with open(link, "w", encoding="utf-8") as file:
                file.write(f"""#!/bin/bash
printf 'qemu-{name} %s\\n' "${{*@Q}}" >>{self.log}
exec -a qemu-{name} {shlex.quote(program)} "$@"
""")
            os.chmod(link, 0o755)
        self.environment = dict(os.environ, PATH=f"{self.path}:{os.environ['PATH']}")
        self.seen = 0

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def calls(self):
        """The command lines since the last look, as lists of words."""
        if not os.path.exists(self.log):
            return []
        with open(self.log, encoding="utf-8") as file:
            lines = [shlex.split(line) for line in file]
        fresh, self.seen = lines[self.seen:], len(lines)
        return fresh

    def called(self, *wanted):
        """Each pattern must be found in a command line since the last look."""
        lines = [" ".join(words) for words in self.calls()]
        for pattern in wanted:
            check(any(re.search(pattern, line) for line in lines),
                  f"no call of a tool matches {pattern}; there were:\n" + "\n".join(lines))
        return lines

    def run(self, *command, status=0, text="", seconds=180, **more):
        """Runs a client that must end with `status` ("fail": any but 0); what it said."""
        environment = dict(self.environment, **more.pop("environment", {}))
        done = subprocess.run([str(word) for word in command], input=text, capture_output=True,
                              text=True, errors="replace", timeout=seconds, check=False,
                              env=environment, **more)
        good = done.returncode > 0 if status == "fail" else done.returncode == status
        if not good:
            lines = "\n".join(" ".join(words) for words in self.calls())
            raise AssertionError(f"{' '.join(map(str, command))}\ngave {done.returncode}, not "
                                 f"{status}:\n{done.stdout}{done.stderr}\ntools called:\n{lines}")
        return done


def need_program(*names):
    for name in names:
        if not shutil.which(name):
            raise Skip(f"{name} is not installed; ./dev setup brings it")


def main(module):
    """As images.main(); with "--long" those named long_... instead of those named test_..."""
    if "--long" in sys.argv:
        sys.argv.remove("--long")
        module = {name.replace("long_", "test_", 1): value for name, value in module.items()
                  if name.startswith("long_")}
    images.main(module)
