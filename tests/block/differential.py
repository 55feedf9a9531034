# tests/block/differential.py VITRINE-IMG [images|nbd|qmp] - random work done twice, by the
# distribution's tools and by ours: what they say, and what they leave, must be the same
# SPDX-License-Identifier: GPL-3.0-or-later
"""ROUNDS=n or SECONDS=n explores, from SEED=n; STEPS=n makes sequences longer or shorter.
KEEP=folder keeps the images of the last difference; SHORTEN=seconds are spent on each one."""
import os
import random
import sys
import time
import traceback

import differ_images
import differ_known
import differ_nbd
import differ_qmp
import differ_steps
from differ import Difference, Tools, shorten

SEED = int(os.environ.get("SEED", "1"))
ROUNDS = int(os.environ.get("ROUNDS", "0"))
SECONDS = float(os.environ.get("SECONDS", "0"))
STEPS = int(os.environ.get("STEPS", "10"))
SHORTEN = float(os.environ.get("SHORTEN", "20"))
KEEP = os.environ.get("KEEP")


def images(tools, known, seed):
    script = differ_images.Script(random.Random(f"images {seed}"))
    steps = script.write(STEPS)
    try:
        return differ_steps.run_steps(tools, known, steps)
    except Difference as difference:
        kind = difference.kind
        if kind == "words":
            raise
        steps = steps[:difference.step + 1]

        def fails(fewer):
            try:
                differ_steps.run_steps(tools, known, fewer)
            except Difference as other:
                return other.kind == kind
            return False

        if SHORTEN:
            fewer = [step for step in steps[:-1] if step[0] != "verify"] + steps[-1:]
            steps = shorten(fewer if fails(fewer) else steps, fails, SHORTEN, time.monotonic)
        try:
            differ_steps.run_steps(tools, known, steps, KEEP)
        except Difference as again:
            difference = again
        raise Difference(kind, f"{differ_steps.written(steps)}\n{difference}") from None


# What a round is, and the seeds that are run when none is asked for.
KINDS = {"images": (images, (1, 2, 3, 4)), "nbd": (differ_nbd.round_of, range(1, 11)),
         "qmp": (differ_qmp.round_of, range(1, 7))}


def campaign(tools, known, kind):
    """Rounds of one kind; true when all were the same."""
    act, seeds = KINDS[kind]
    if ROUNDS or SECONDS:
        seeds = range(SEED, SEED + (ROUNDS or 1 << 30))
    end = time.monotonic() + SECONDS if SECONDS else None
    done = operations = found = 0
    for seed in seeds:
        if end and time.monotonic() > end:
            break
        done += 1
        try:
            operations += act(tools, known, seed)
        except Difference as difference:
            found += 1
            print(f"# SEED={seed} {kind}: {difference.kind}")
            for line in str(difference).splitlines():
                print(f"#   {line}", flush=True)
        except Exception:
            found += 1
            print(f"# SEED={seed} {kind}")
            for line in traceback.format_exc().splitlines():
                print(f"#   {line}", flush=True)
    print(f"# {kind}: {done} sequences, {operations} commands run twice, {found} differences",
          flush=True)
    return not found


def main():
    tools = Tools(os.path.dirname(os.path.abspath(sys.argv[1])))
    wanted = sys.argv[2:] or list(KINDS)
    print(f"1..{len(wanted)}", flush=True)
    bad = False
    for number, kind in enumerate(wanted, 1):
        good = campaign(tools, differ_known.KNOWN, kind)
        bad = bad or not good
        print(f"{'ok' if good else 'not ok'} {number} {kind}", flush=True)
    for known in differ_known.KNOWN:
        if known.met:
            print(f"# {known.met} times: {known.why}")
    sys.exit(1 if bad else 0)


main()
