# tests/block/differ_known.py - where our tools differ from the distribution's on purpose, and why
# SPDX-License-Identifier: GPL-3.0-or-later
from differ import Known

KNOWN = [
    Known("ours knows which blocks of a VHDX image are stored",
          command=r"(map|measure|alloc) .*vhdx|vhdx.* '?(map|measure|alloc) "),
    Known("images are no longer encrypted the old way", ours="use encrypt.format=luks"),
    Known("theirs looks for the backing file of -s beside the temporary file", command=r"io.* -s ",
          theirs="No such file or directory"),
    Known("theirs does not know the long option", theirs="unrecognized option '--format'"),
    Known("ours says how large an image can be", theirs="too large for file format 'vpc'",
          ours="at most 2040 GiB"),
    Known("what ours shows as help is its own", ours="Vitrine"),
]
