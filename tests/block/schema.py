# tests/block/schema.py DAEMON - query-qmp-schema, wrong arguments and the tree of objects, beside
# the distribution's storage daemon
# SPDX-License-Identifier: GPL-3.0-or-later
import sys

from nbd_common import check, report
from qmp import Qmp

OURS = sys.argv[1]
THEIRS = "qemu-storage-daemon"

# What clients may give here and not there: it is harmless, or older than QEMU's own table.
EXTRA = {"drive-mirror:filter-node-name"} | {
    "blockdev-create:options:" + name for name in ("luks/file", "raw/file", "raw/size",
                                                   "vmdk/backing-fmt")}
META = {"builtin": {"json-type"}, "enum": {"members", "values"}, "array": {"element-type"},
        "object": {"members", "tag", "variants"}, "alternate": {"members"},
        "command": {"arg-type", "ret-type"}, "event": {"arg-type"}}


def equal(got, wanted, where=""):
    check(got == wanted, f"{where}: got {got!r}, expected {wanted!r}")


class Schema:
    def __init__(self, program):
        with Qmp(program) as q:
            self.list = q.good("query-qmp-schema")
            self.commands = {entry["name"] for entry in q.good("query-commands")}
        self.types = {entry["name"]: entry for entry in self.list}

    def of(self, meta):
        return {name for name, entry in self.types.items() if entry["meta-type"] == meta}

    def members(self, entry, prefix=""):
        """Path -> (kind, values, optional) of what an object has at its first level, also in the
        cases of a union."""
        found = {}
        for member in entry["members"]:
            kind = self.types[member["type"]]
            found[prefix + member["name"]] = (member["type"], kind, "default" in member)
        for variant in entry.get("variants", []):
            found |= self.members(self.types[variant["type"]], f"{prefix}{variant['case']}/")
        return found


def shape():
    """Each entity is told once, with the members of its kind, and all that it refers to is told."""
    ours = Schema(OURS)
    equal(len(ours.types), len(ours.list), "names are told twice")
    equal(ours.commands, ours.of("command"))
    for entry in ours.list:
        name, meta = entry["name"], entry["meta-type"]
        check(meta in META, f"meta-type {meta}")
        more = set(entry) - {"name", "meta-type", "features"}
        check(more <= META[meta] and (more >= META[meta] - {"tag", "variants"}), f"{entry}")
        refers = [entry[key] for key in ("arg-type", "ret-type", "element-type") if key in entry]
        if meta in ("object", "alternate"):
            refers += [member["type"] for member in entry["members"]]
            refers += [variant["type"] for variant in entry.get("variants", [])]
            if "tag" in entry:
                tag = [m["type"] for m in entry["members"] if m["name"] == entry["tag"]]
                values = [m["name"] for m in ours.types[tag[0]]["members"]]
                equal([v["case"] for v in entry["variants"]], values, f"cases of {name}")
        if meta in ("enum", "object", "alternate"):
            check(name.isdigit(), f"{meta} {name}: types have numbers for names")
        for other in refers:
            check(other in ours.types, f"{name} refers to {other}, which is not told")
        if meta in ("command", "event"):
            equal(ours.types[entry["arg-type"]]["meta-type"], "object")


def differences(ours, theirs, where, mine, other, depth=4):
    """Where what we tell is not what a client may give to them as well, in the same way."""
    a, b = mine["meta-type"], other["meta-type"]
    if a == "builtin":
        if mine["json-type"] != "value" and b == "builtin" and \
                mine["json-type"] != other["json-type"]:
            yield f"{where}: {mine['json-type']} and not {other['json-type']}"
        return      # a string where theirs is an enum, a value where we do not say more
    if a != b:
        yield f"{where}: {a} and not {b}"
    elif a == "enum":
        strange = {m["name"] for m in mine["members"]} - {m["name"] for m in other["members"]}
        if strange:
            yield f"{where}: they have no value {strange}"
    elif a == "array":
        yield from differences(ours, theirs, where + "[]", ours.types[mine["element-type"]],
                               theirs.types[other["element-type"]], depth)
    elif a == "alternate":
        kinds = [sorted(s.types[m["type"]]["meta-type"] + s.types[m["type"]].get("json-type", "")
                        for m in entry["members"])
                 for s, entry in ((ours, mine), (theirs, other))]
        if kinds[0] != kinds[1]:
            yield f"{where}: {kinds[0]} and not {kinds[1]}"
    elif depth:
        known = theirs.members(other)
        for name, (_, kind, optional) in ours.members(mine).items():
            path = f"{where}:{name}"
            if path in EXTRA:
                continue
            if name not in known:
                yield f"{path}: they have none"
                continue
            if known[name][2] and not optional:
                yield f"{path}: is optional with them"
            yield from differences(ours, theirs, path, kind, known[name][1], depth - 1)


def arguments():
    ours, theirs = Schema(OURS), Schema(THEIRS)
    common = ours.of("command") & theirs.of("command")
    check(len(common) > 55, f"only {len(common)} commands in common")
    found = []
    for name in common:
        mine, other = ours.types[name], theirs.types[name]
        found += differences(ours, theirs, name, ours.types[mine["arg-type"]],
                             theirs.types[other["arg-type"]])
        equal(mine.get("allow-oob", False), other.get("allow-oob", False), name)
        check("unstable" in mine.get("features", []) or not name.startswith("x-"), name)
        needed = {n for n, member in theirs.members(theirs.types[other["arg-type"]]).items()
                  if not member[2] and "/" not in n}
        have = set(ours.members(ours.types[mine["arg-type"]]))
        equal(needed - have, set(), f"{name}: members that they need and we do not know")
    equal(found, [])


def answers():
    """What their answers always have, ours have, of the same kind; so have events."""
    ours, theirs = Schema(OURS), Schema(THEIRS)
    for name in (ours.of("command") & theirs.of("command")) | (ours.of("event") &
                                                               theirs.of("event")):
        key = "ret-type" if ours.types[name]["meta-type"] == "command" else "arg-type"
        mine, other = (s.types[s.types[name][key]] for s in (ours, theirs))
        if mine["meta-type"] == "array":
            equal(other["meta-type"], "array", name)
            mine, other = (s.types[x["element-type"]] for s, x in ((ours, mine), (theirs, other)))
        if mine["meta-type"] != "object" or other["meta-type"] != "object":
            continue
        have, known = ours.members(mine), theirs.members(other)
        for member, (_, kind, optional) in known.items():
            if not optional and "/" not in member:
                check(member in have or (name, member) == ("BLOCK_IO_ERROR", "qom-path"),
                      f"{name}: no {member}")
        for member, (_, kind, _) in have.items():
            if member in known and kind["meta-type"] == "builtin" and kind["name"] != "any" and \
                    known[member][1]["meta-type"] == "builtin":
                equal(kind["json-type"], known[member][1]["json-type"], f"{name}: {member}")


WRONG = [
    ("nbd-server-start", {"addr": {}}), ("nbd-server-start", {"addr": 1}),
    ("nbd-server-start", {"addr": {"type": "unix"}}),
    ("nbd-server-start", {"addr": {"type": "x", "data": {}}}),
    ("nbd-server-start", {"addr": {"type": "unix", "data": {}}}),
    ("nbd-server-start", {"addr": {"type": "unix", "data": {"path": 1}}}),
    ("nbd-server-start", {"addr": {"type": "unix", "data": {"path": "/x", "y": 1}}}),
    ("nbd-server-start", {"addr": {"type": "inet", "data": {"host": "a", "port": 1}}}),
    ("transaction", {"actions": [1]}), ("transaction", {"actions": [{}]}),
    ("transaction", {"actions": [{"type": "abort"}]}),
    ("transaction", {"actions": [{"type": "nope", "data": {}}]}),
    ("transaction", {"actions": [{"type": "block-dirty-bitmap-add", "data": {"node": "x"}}]}),
    ("transaction", {"actions": [{"type": "abort", "data": {"x": 1}}]}),
    ("transaction", {"actions": [], "properties": {"completion-mode": "x"}}),
    ("transaction", {"actions": [], "properties": {"y": "x"}}),
    ("block-dirty-bitmap-merge", {"node": "x", "target": "y", "bitmaps": [1]}),
    ("block-dirty-bitmap-merge", {"node": "x", "target": "y", "bitmaps": [{}]}),
    ("block-dirty-bitmap-merge", {"node": "x", "target": "y",
                                  "bitmaps": [{"node": "x", "name": "z", "y": 1}]}),
    ("blockdev-reopen", {"options": [1]}), ("blockdev-reopen", {"options": [{}]}),
    ("blockdev-reopen", {"options": [{"driver": "nope"}]}),
    ("blockdev-add", {}), ("blockdev-add", {"driver": "nope"}),
    ("blockdev-add", {"driver": "file", "filename": "/x", "read-only": "on"}),
    ("blockdev-add", {"driver": "file", "node-name": "a", "filename": 1}),
    ("blockdev-add", {"driver": "raw", "node-name": "a", "file": {"driver": "file"}}),
    ("blockdev-add", {"driver": "raw", "node-name": "a", "file": 1}),
    ("blockdev-add", {"driver": "raw", "node-name": "a", "file": "x", "cache": {"x": 1}}),
    ("blockdev-add", {"driver": "raw", "node-name": "a", "file": "x", "discard": "y"}),
    ("x-blockdev-set-iothread", {"node-name": "x"}),
    ("x-blockdev-set-iothread", {"node-name": "x", "iothread": 1}),
    ("qom-set", {"path": "x", "property": "x"}),
    ("qom-set", {"path": "x", "property": "x", "value": 1, "more": 1}),
    ("object-add", {"qom-type": "iothread"}),
    ("object-add", {"qom-type": "secret", "id": "a", "data": 1}),
    ("block-export-add", {}), ("block-export-add", {"type": "x", "id": "a", "node-name": "b"}),
    ("block-export-add", {"type": "nbd", "id": "a", "node-name": "b", "x": 1}),
    ("block-export-add", {"type": "nbd", "id": "a", "node-name": "b", "bitmaps": [1]}),
    ("blockdev-create", {"job-id": "a", "options": {}}),
    ("blockdev-create", {"job-id": "a", "options": {"driver": "x"}}),
    ("blockdev-create", {"job-id": "a", "options": {"driver": "qcow2"}}),
    ("blockdev-create", {"job-id": "a", "options": {"driver": "qcow2", "file": "x"}}),
    ("query-block-jobs", {"x": 1}),
]


def wrong():
    """Arguments that do not fit are refused in the same words, before anything is done."""
    with Qmp(OURS) as ours, Qmp(THEIRS) as theirs:
        for command, data in WRONG:
            equal(ours(command, data), theirs(command, data), f"{command} {data}")


def tree():
    for program in (OURS, THEIRS):
        with Qmp(program) as q:
            q.good("object-add", qom_type="iothread", id="io")

            def listed(path):
                return {(entry["name"], entry["type"]) for entry in q.good("qom-list", path=path)}

            check(listed("/") >= {("type", "string"), ("objects", "child<container>"),
                                  ("chardevs", "child<container>")}, f"{program}: {listed('/')}")
            equal(listed("/objects"), {("type", "string"), ("io", "child<iothread>")})
            equal(listed("objects"), listed("/objects"))
            equal(listed("/chardevs"), {("type", "string"), ("monitor", "child<chardev-stdio>")})
            check(("type", "string") in listed("/chardevs/monitor"), "a chardev has a type")
            for path, kind in (("/", "container"), ("/objects/io", "iothread"), ("io", "iothread"),
                               ("/chardevs/monitor", "chardev-stdio")):
                equal(q("qom-get", path=path, property="type"), kind)
            equal(q("qom-get", path="/objects", property="x"),
                  {"class": "GenericError", "desc": "Property 'container.x' not found"})
            equal(q("qom-list", path="/x"),
                  {"class": "DeviceNotFound", "desc": "Device '/x' not found"})


sys.exit(report([shape, arguments, answers, wrong, tree]))
