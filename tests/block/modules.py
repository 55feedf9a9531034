# tests/block/modules.py VITRINE-IMG - drivers in modules: loaded when used, and errors without them
# SPDX-License-Identifier: GPL-3.0-or-later
import json
import os
import shutil
import subprocess

import images
from images import Folder, Skip, check, equal, formats, img, run

BUILD = os.path.dirname(os.path.dirname(images.TOOLS))
MODULES = os.path.join(images.TOOLS, "vitrine-modules")
LIBRARIES = {"curl": "libcurl", "iscsi": "libiscsi", "nfs": "libnfs", "rbd": "librbd",
             "ssh": "libssh"}
ADDRESSES = {"curl": "http://127.0.0.1:1/x", "iscsi": "iscsi://127.0.0.1:1/x", "nfs": "nfs://",
             "rbd": "rbd:", "ssh": "ssh://127.0.0.1:1"}


def built():
    names = [name for name in LIBRARIES
             if os.path.exists(os.path.join(MODULES, f"block-{name}.so"))]
    if not names:
        raise Skip("this build has no protocol that is a module")
    return names


def opened(*command):
    """The shared objects that a run of vitrine-img maps."""
    done = run(images.OURS, *command, status=None, env={**os.environ, "LD_DEBUG": "files"})
    return {line.split("file=")[1].split()[0].split("/")[-1]
            for line in done.stderr.splitlines() if "file=" in line}


def test_loaded_when_used():
    with Folder() as f:
        img("create", "-f", "qcow2", f("a"), "1M")
        quiet = opened("info", f("a"))
    check(any(name.startswith("libglib") for name in quiet), f"LD_DEBUG says nothing: {quiet}")
    for name in built():
        library = LIBRARIES[name]
        check(not any(x.startswith(library) for x in quiet), f"{library} is loaded for a file")
        used = opened("info", ADDRESSES[name])
        check(f"block-{name}.so" in used, f"{ADDRESSES[name]} loads no module: {used}")
        check(any(x.startswith(library) for x in used), f"block-{name}.so without {library}")


def alone(f):
    """A copy of the tool in a folder without modules, and where it looks for them."""
    os.makedirs(f("bin"), exist_ok=True)
    copy = shutil.copy(images.OURS, f("bin/vitrine-img"))
    said = run(copy, "info", ADDRESSES[built()[0]], status=1).stderr
    return copy, os.path.dirname(said.split("“")[1].split("”")[0])


def test_missing():
    with Folder() as f:
        copy, folder = alone(f)
        check(folder.startswith(f.path), f"modules are looked for in {folder}")
        equal(set(run(copy, "--help").stdout.split("formats:")[1].split()), formats(),
              "--help without modules")
        for name in built():
            address = ADDRESSES[name]
            protocol = address.split(":")[0]
            equal(run(copy, "info", address, status=1).stderr,
                  f"vitrine-img: Could not open '{address}': Protocol '{protocol}' needs the "
                  f"module “{folder}/block-{name}.so”, which is not installed; install Vitrine's "
                  "module for it\n")
        done = run(copy, "create", "-f", "raw", "-o", "help", ADDRESSES[built()[0]], status=1)
        check("needs the module" in done.stderr, done.stderr)


def test_broken():
    with Folder() as f:
        copy, folder = alone(f)
        name = built()[0]
        os.makedirs(folder)
        module = f"{folder}/block-{name}.so"
        with open(module, "w", encoding="utf-8") as file:
            file.write("no shared object")
        done = run(copy, "info", ADDRESSES[name], status=1)
        check(f"“{module}”, which does not load: " in done.stderr and
              "install the library it lacks" in done.stderr, done.stderr)
        equal(done.stderr.count(module), 1, done.stderr)


def compiled(f, name, module, text, *more):
    source = f("module.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    if not shutil.which("cc"):
        raise Skip("there is no C compiler")
    run("cc", "-shared", "-fPIC", "-o", module, source, *more)


def test_other_version():
    with Folder() as f:
        copy, folder = alone(f)
        name = built()[0]
        os.makedirs(folder)
        module = f"{folder}/block-{name}.so"
        compiled(f, name, module, "struct { const char *v; unsigned long d, n; void *l; } "
                                  'vit_block_module = { "0.0.1" };')
        done = run(copy, "info", ADDRESSES[name], status=1)
        check(f"the module “block-{name}” of Vitrine " in done.stderr and
              "another version" in done.stderr, done.stderr)


def test_library_missing():
    """A module whose library is gone is told from one that is not there."""
    with Folder() as f:
        copy, folder = alone(f)
        name = built()[0]
        os.makedirs(folder)
        compiled(f, name, f("libgone.so"), "int gone(void) { return 1; }", "-Wl,-soname,libgone.so")
        compiled(f, name, f"{folder}/block-{name}.so",
                 "int gone(void); int vit_block_module(void) { return gone(); }", f("libgone.so"))
        os.unlink(f("libgone.so"))
        done = run(copy, "info", ADDRESSES[name], status=1)
        check("which does not load: libgone.so: cannot open shared object file" in done.stderr,
              done.stderr)


def test_installed():
    """As `meson install` lays them out, wherever that is moved to."""
    if not shutil.which("meson"):
        raise Skip("there is no meson to ask")
    plan = json.loads(subprocess.run(["meson", "introspect", BUILD, "--installed"], check=True,
                                     capture_output=True, text=True).stdout)
    with Folder() as f:
        for source, target in plan.items():
            base = os.path.basename(source)
            if base == "vitrine-img" or base.startswith("block-"):
                os.makedirs(os.path.dirname(f.path + target), exist_ok=True)
                shutil.copy(source, f.path + target)
                if base == "vitrine-img":
                    copy = f.path + target
        for name in built():
            done = run(copy, "info", ADDRESSES[name], status=1)
            check("module" not in done.stderr, done.stderr)


images.main(globals())
