#!/usr/bin/env python3
# tests/house/check_translations.py TOP - every text that a person sees can be translated.
# SPDX-License-Identifier: GPL-3.0-or-later
import os
import re
import subprocess
import sys

from house import report, sources

MARKED = re.compile(r'\b(N?_|C_|ngettext)\s*\(\s*"')
BLUEPRINT_TEXT = re.compile(
    r'\b(label|title|subtitle|description|tooltip-text|button-label|placeholder-text|heading|body)'
    r'\s*:\s*"([^"]+)"')
ERROR_CALL = re.compile(r'\b(?:g_set_error(?:_literal)?|g_task_return_new_error)\s*\('
                        r'[^;"]*,\s*("(?:[^"\\]|\\.)*[A-Za-z]{3}(?:[^"\\]|\\.)*")')
BLOCK_ERROR_CALL = re.compile(
    r'\b(?:g_set_error(?:_literal)?|vit_block_fail(?:_errno)?|corrupt|invalid|refuse|tls_fail)\s*'
    r'\([^;"]*,\s*("(?:[^"\\]|\\.)*[A-Za-z]{2} (?:[^"\\]|\\.)*")')    # one word: a field's name
C_TEXT = re.compile(
    r'\b\w+_set_(?:label|title|subtitle|description|tooltip_text|heading|body|text|button_label)'
    r'\s*\([^;]*?,\s*"([^"]*[A-Za-z][^"]*)"\s*\)|'
    r'\badw_(?:alert_dialog|toast)_new\s*\(\s*"([^"]+)"')
TRANSLATED = ("app", "block", "display", "engine/core", "engine/guest", "engine/jit", "engine/kvm",
              "engine/machine", "engine/session", "hw", "net", "widgets")
ENGLISH = {"app/cli/run-options.c", "app/cli/vitrine-run.c", "engine/core/log.c",
           "block/nbd/negotiate.c"}             # tools and peers alone
NAMES = {"Vitrine"}             # the same in every language


def read(top, path):
    with open(os.path.join(top, path), encoding="utf-8") as file:
        return file.read()


def listed(top):
    return {line.strip() for line in read(top, "po/POTFILES.in").splitlines()
            if line.strip() and not line.startswith("#")}


def files_list(top):
    names = listed(top)
    for path in sorted(names):
        if not os.path.exists(os.path.join(top, path)):
            yield f"po/POTFILES.in names {path}, which is not there"
    for path in sources(top, (".c", ".blp"), ("app", "widgets")):
        if path not in names and MARKED.search(read(top, path)):
            yield f"{path} has texts to translate and is not in po/POTFILES.in"
    for name in sorted(os.listdir(os.path.join(top, "data"))):
        if name.endswith((".desktop.in", ".metainfo.xml.in")) and f"data/{name}" not in names:
            yield f"data/{name} is not in po/POTFILES.in"


def unmarked(top):
    for path in sources(top, (".blp",), ("app", "widgets")):
        for match in BLUEPRINT_TEXT.finditer(read(top, path)):
            if match[2] not in NAMES:
                yield f'{path}: {match[1]}: "{match[2]}" is not marked with _()'
    for path in sources(top, (".c",), ("app", "widgets")):
        if path.startswith("app/cli/"):
            continue
        for match in C_TEXT.finditer(read(top, path)):
            if (match[1] or match[2]) not in NAMES:
                yield f'{path}: "{match[1] or match[2]}" is not marked with _()'


def errors(top):
    """Messages that the session API can deliver (docs/decisions/0007)."""
    for path in sources(top, (".c",), TRANSLATED):
        text = read(top, path)
        if path in ENGLISH:
            continue
        call = BLOCK_ERROR_CALL if path.startswith("block/") else ERROR_CALL
        for match in call.finditer(text):
            yield f"{path}: {match[1]} is not marked with _() of glib/gi18n-lib.h"
        if MARKED.search(text) and path not in listed(top):
            yield f"{path} has texts to translate and is not in po/POTFILES.in"


def extraction(top):
    done = subprocess.run(
        ["xgettext", "--directory", top, "--files-from", os.path.join(top, "po", "POTFILES.in"),
         "--from-code=UTF-8", "--keyword=_", "--keyword=N_", "--keyword=C_:1c,2",
         "--keyword=ngettext:1,2", "--add-comments=Translators", "--output=-"],
        capture_output=True, text=True, check=False)
    if done.returncode:
        yield from done.stderr.splitlines()
        return
    for path in sorted(listed(top)):
        if f"{path}:" not in done.stdout and MARKED.search(read(top, path)):
            yield f"xgettext finds no text in {path}"
    for text in ("New Machine", "Run other operating systems", "Switched Off",
                 "the guest powered off"):
        if f'msgid "{text}"' not in done.stdout:
            yield f"xgettext does not find “{text}”"


def main(top):
    report([
        ("po/POTFILES.in lists the files with texts", list(files_list(top))),
        ("texts are marked for translation", list(unmarked(top))),
        ("errors that reach the window are marked for translation", list(errors(top))),
        ("texts can be extracted", list(extraction(top))),
    ])


if __name__ == "__main__":
    main(sys.argv[1])
