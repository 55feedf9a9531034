# tests/block/differ_images.py - random work on images: the steps (differ_steps.py runs them)
# SPDX-License-Identifier: GPL-3.0-or-later
import json

KIB, MIB, GIB, TIB = 1 << 10, 1 << 20, 1 << 30, 1 << 40
SECRET = "secret,id=s0,data=letmein"
WRONG_SECRET = "secret,id=s0,data=wrong"
FORMATS = ["qcow2"] * 10 + ["raw"] * 4 + ["vmdk"] * 3 + ["vhdx", "vhdx", "vdi", "vdi", "vpc", "vpc",
                                                         "qed", "qed", "parallels", "luks"]
BACKED = ("qcow2", "qed", "vmdk")
NAMED = ("qcow2", "raw", "vmdk", "vhdx", "vdi", "vpc", "qed", "parallels", "luks")
WRONG = ["", "0", "-1", "x", "1.5", "3", "1Q", "16E", "9223372036854775808", "512", "4k", "on",
         "off",
         "1M", "help", "=", ",", "99999999999999999999", " 1", "0x10000"]


class Image:
    def __init__(self, name, fmt, size, **more):
        self.name, self.fmt, self.size = name, fmt, size
        self.secret = more.get("secret", False)
        self.backing = more.get("backing")
        self.huge = size > 256 * MIB
        self.snapshots, self.bitmaps = [], []

    def options(self, **more):
        """As --image-opts has it."""
        words = {"driver": self.fmt, "file.filename": self.name.replace(",", ",,")}
        if self.secret:
            words[self.key()] = "s0"
        return ",".join(f"{k}={v}" for k, v in (words | more).items())

    def key(self):
        return "key-secret" if self.fmt == "luks" else "encrypt.key-secret"


class Script:
    """Makes steps from a random source; it believes that what should work works."""

    def __init__(self, rng):
        self.rng, self.images, self.steps, self.made = rng, {}, [], 0

    # ---- little things ----

    def maybe(self, chance):
        return self.rng.random() < chance

    def pick(self, *values):
        return self.rng.choice(values)

    def some(self, chance, *words):
        return list(words) if self.maybe(chance) else []

    def any_image(self, *fmts, backed=False):
        found = [i for i in self.images.values() if (not fmts or i.fmt in fmts) and
                 (not backed or i.backing)]
        return self.rng.choice(found) if found else None

    def text(self, size):
        """A size as a person may write it."""
        forms = [str(size)]
        for suffix, unit in (("k", KIB), ("K", KIB), ("M", MIB), ("G", GIB), ("T", TIB)):
            if size and size % unit == 0:
                forms.append(f"{size // unit}{suffix}")
            elif size > unit and size % (unit // 4) == 0:
                forms.append(f"{size / unit}{suffix}")
        if self.maybe(0.1):
            forms.append(hex(size))
        return self.rng.choice(forms)

    def size(self):
        roll = self.rng.random()
        if roll < 0.6:
            return self.rng.randrange(1, 33) * MIB
        if roll < 0.75:
            return self.rng.randrange(1, 300) * 64 * KIB + self.pick(0, 512, 4096, 32 * KIB)
        if roll < 0.87:
            return self.rng.randrange(0, 20 * MIB)
        if roll < 0.93:
            return self.pick(0, 1, 511, 512, 513, 65535, 65536, 65537)
        return self.pick(GIB, 3 * GIB + 512, 5 * GIB, 100 * GIB, 2 * TIB, 2 * TIB + 512, 8 * TIB)

    def wrong_size(self):
        return self.pick("-1", "x", "", "1Q", "1.5", "1k2", "16E", "8E", "99999999999999999999",
                         " ", "+", "1 M", "0x", "1e3", "7E", "64P", "inf", "nan", ".5M", "5.", "1B")

    def where(self, size):
        """An offset and a length, mostly inside."""
        size = max(size, 1)
        unit = self.pick(1, 512, 512, 4096, 65536, 65536, 65536, MIB)
        length = self.pick(1, 512, 1000, 4096, 32 * KIB, 65536, 65536, 100 * KIB, 128 * KIB,
                           300 * KIB, MIB, 3 * MIB + 512)
        length = max(1, length // unit * unit)
        at = self.rng.randrange(0, max(1, size // unit)) * unit
        roll = self.rng.random()
        if roll < 0.08:
            at = max(0, size - length)
        elif roll < 0.11:
            at = size - self.pick(0, 1, 512, length // 2)
        elif roll < 0.13:
            at = self.pick(size, size + 512, size * 2, 1 << 62)
        elif at + length > size and roll < 0.95:
            length = max(1, size - at)
        return max(at, 0), length

    def access(self, image, chance=0.15, image_opts=True):
        """Words that name an image, of the many ways: (before the name, name)."""
        secret = ["--object", WRONG_SECRET if self.maybe(0.02) else SECRET] if image.secret else []
        if image.secret and image_opts and not self.maybe(0.03):
            return secret + ["--image-opts"], image.options()
        if image_opts and self.maybe(chance):
            if self.maybe(0.5):
                return ["--image-opts"], image.options()
            value = {"driver": image.fmt, "file": {"driver": "file", "filename": image.name}}
            if self.maybe(0.3):
                value = {"driver": image.fmt, "file.filename": image.name}
            return [], "json:" + json.dumps(value)
        roll = self.rng.random()
        if roll < 0.12:
            return secret, image.name
        fmt = image.fmt if roll < 0.96 else self.pick("raw", "qcow2", "vmdk", "nosuch",
                                                                  "vpc", "file")
        name = image.name if not self.maybe(0.02) else self.pick("missing", "", "./" + image.name,
                                                                 "file:" + image.name)
        return secret + [self.pick("-f", "-f", "--format"), fmt], name

    def add(self, *step):
        self.steps.append(step)

    def img(self, *args):
        args = [str(word) for word in args]
        if self.maybe(0.02):
            args = self.spoilt(args)
        self.add("img", args)

    def spoilt(self, args):
        """A wrong command line."""
        args, at = list(args), self.rng.randrange(0, len(args))
        kind = self.rng.randrange(6)
        if kind == 0:
            args.insert(at + 1, self.pick("--nosuch", "-Z", "-x", "--", "-", "extra", ""))
        elif kind == 1 and len(args) > 1:
            del args[self.rng.randrange(1, len(args))]
        elif kind == 2 and len(args) > 1:
            args[self.rng.randrange(1, len(args))] = self.pick(*WRONG)
        elif kind == 3:
            args.insert(at + 1, args[at])
        elif kind == 4:
            args.append(self.pick("-f", "-o", "-O", "--output", "--object", "--image-opts", "-U",
                                  "-q"))
        else:
            args.insert(1, self.pick("--output=xml", "-f", "-o", "-T", "-t", "--object=foo",
                                     "--object", "-U", "-p", "-q", "--image-opts"))
        return args

    # ---- making images ----

    def create_options(self, fmt, size):
        """-o words of a format, and whether there is a secret."""
        words, secret, small = [], False, size <= 64 * MIB
        put = lambda chance, word, *values: words.append(f"{word}={self.pick(*values)}") \
            if self.maybe(chance) else None
        if fmt == "qcow2":
            put(0.5, "cluster_size", "512", "1k", "4k", "4096", "16k", "32k", "64k", "65536",
                "128k", "1M", "2M")
            put(0.2, "compat", "0.10", "1.1", "v2", "v3")
            put(0.2, "lazy_refcounts", "on", "off", "on")
            put(0.25, "refcount_bits", 1, 2, 4, 8, 16, 32, 64)
            put(0.2, "extended_l2", "on", "off", "on")
            put(0.15, "compression_type", "zlib", "zstd")
            put(0.15, "preallocation", "off", "metadata", "metadata",
                *(("falloc", "full") if small else ()))
            if self.maybe(0.08):
                self.made += 1
                words.append(f"data_file=data{self.made}")
                put(0.5, "data_file_raw", "on", "on", "off")
            if self.maybe(0.06):
                secret = True
                words += ["encrypt.format=luks", "encrypt.key-secret=s0"]
                self.luks_options(words, "encrypt.")
            elif self.maybe(0.02):
                secret = True
                words += ["encrypt.format=aes", "encrypt.key-secret=s0"]
        elif fmt == "vmdk":
            put(0.7, "subformat", "monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
                "twoGbMaxExtentFlat", "streamOptimized")
            put(0.2, "adapter_type", "ide", "lsilogic", "buslogic", "legacyESX", "x")
            put(0.2, "hwversion", "4", "10", "18", "x")
            put(0.2, "zeroed_grain", "on", "off")
            put(0.1, "compat6", "on", "off")
            put(0.1, "toolsversion", "7", "2147483647", "x")
        elif fmt == "vdi":
            put(0.4, "static", "on", "off")
        elif fmt == "vhdx":
            put(0.3, "subformat", "dynamic", "fixed")
            put(0.4, "block_size", "1M", "2M", "8M", "256M", "0", "3M", "512k")
            put(0.3, "log_size", "1M", "2M", "4M", "0", "1")
            put(0.3, "block_state_zero", "on", "off")
        elif fmt == "vpc":
            put(0.4, "subformat", "dynamic", "fixed")
            put(0.4, "force_size", "on", "off")
        elif fmt == "qed":
            put(0.4, "cluster_size", "4k", "16k", "64k", "1M", "64M", "3k")
            put(0.4, "table_size", "2", "4", "16", "3", "32")
        elif fmt == "parallels":
            put(0.4, "cluster_size", "64k", "1M", "512", "100k", "3M", "1000")
        elif fmt == "luks":
            secret = True
            words.append("key-secret=s0")
            self.luks_options(words, "")
            put(0.1, "preallocation", "off", "metadata", "falloc")
        elif fmt == "raw":
            put(0.2, "preallocation", "off", *(("falloc", "full") if small else ()))
        if self.maybe(0.04):
            words.append(f"{self.pick('nosuch', 'size', 'cluster_size', 'compat', 'subformat')}="
                         f"{self.pick(*WRONG)}")
        if words and self.maybe(0.03):
            at = self.rng.randrange(len(words))
            words[at] = words[at].split("=")[0] + "=" + self.pick(*WRONG)
        return words, secret

    def luks_options(self, words, prefix):
        words.append(prefix + "iter-time=10")
        for name, values in (("cipher-alg", ("aes-128", "aes-256", "serpent-256", "twofish-128",
                                             "cast5-128", "nosuch")),
                             ("cipher-mode", ("xts", "cbc", "ecb", "ctr")),
                             ("hash-alg", ("sha1", "sha256", "sha512", "md5", "ripemd160")),
                             ("ivgen-alg", ("plain", "plain64", "essiv")),
                             ("ivgen-hash-alg", ("sha256",))):
            if self.maybe(0.2):
                words.append(f"{prefix}{name}={self.pick(*values)}")

    def new_name(self, fmt):
        self.made += 1
        return f"i{self.made}.{fmt}" if not self.maybe(0.03) else self.pick(
            f"a b{self.made}", f"q,{self.made}", f"c:{self.made}", f"é{self.made}",
            f"x={self.made}")

    def create(self):
        fmt, size = self.pick(*FORMATS), self.size()
        name = self.new_name(fmt) if not self.maybe(0.05) or not self.images else \
            self.any_image().name
        words, secret = self.create_options(fmt, size)
        if secret:
            size = 5 * MIB if size > 64 * MIB else size // 512 * 512
        backing, args = None, []
        if fmt in BACKED and self.maybe(0.4) or self.maybe(0.01):
            below = self.any_image(*(("vmdk",) if fmt == "vmdk" else ()))
            if below and not below.secret and below.name != name:
                backing, target = below, below.name
                if self.maybe(0.1):
                    target = "json:" + json.dumps({"driver": below.fmt,
                                                   "file": {"driver": "file",
                                                            "filename": below.name}})
                elif self.maybe(0.1):
                    target = "./" + target
                if self.maybe(0.8):
                    args += ["-b", target] + self.some(0.95, "-F", below.fmt)
                else:
                    words += ["backing_file=" + target.replace(",", ",,")]
                    words += self.some(0.95, f"backing_fmt={below.fmt}")
                args += self.some(0.1, "-u")
        give_size = not backing or self.maybe(0.4)
        if not give_size:
            size = backing.size
        if secret:
            args = ["--object", SECRET] + args
        if words:
            self.rng.shuffle(words)
            if len(words) > 1 and self.maybe(0.2):
                args += ["-o", words[0], "-o", ",".join(words[1:])]
            else:
                args += ["-o", ",".join(words)]
        self.img("create", *self.some(0.2, "-q"), "-f", fmt, *args, name,
                 *([self.text(size) if not self.maybe(0.03) else self.wrong_size()]
                   if give_size else []))
        if fmt == "vpc":
            size = size // 512 * 512
        image = Image(name, fmt, size, secret=secret, backing=backing)
        self.images[name] = image
        if secret and not image.huge:   # what was never written is not zero, but another each time
            before, opened = ["--object", SECRET, "--image-opts"], image.options()
            for at in range(0, max(size, 1), GIB):
                self.add("io", before + ["-c", f"write -P 0 {at} {min(size - at, GIB)}", opened])
        if not image.huge and self.maybe(0.8):
            self.io(image, self.rng.randrange(1, 4))
        return image

    # ---- qemu-io ----

    def io_command(self, fmt, size):
        at, length = self.where(size)
        place = f"{self.text(at)} {self.text(length)}"
        pattern = self.rng.randrange(1, 256)
        kind = self.rng.random()
        flags = "".join(" " + flag for flag, chance in (("-q", 0.05), ("-f", 0.05)) if
                        self.maybe(chance))
        if kind < 0.34:
            return f"write{flags} -P {pattern} {place}"
        if kind < 0.44:
            fast = [" -n"] if fmt in ("qcow2", "raw") else []   # ours can it with other formats
            return f"write -z{self.pick('', ' -u', ' -u', *fast)} {place}"
        if kind < 0.50:
            return f"discard {place}"
        if kind < 0.55:
            return f"write -c -P {pattern} {place}"
        if kind < 0.62:
            lengths = [self.text(self.pick(512, 4096, 1024, 65536, 1, 100)) for _ in range(3)]
            return f"{self.pick('writev', 'aio_write')} -P {pattern} {at} {' '.join(lengths)}"
        if kind < 0.65:
            return f"aio_write -z{self.pick('', ' -u')} {place}"
        if kind < 0.72:
            return f"read -P {self.pick(0, pattern)} {place}"
        if kind < 0.78:
            return f"read -v {self.text(at)} {self.pick(1, 16, 512, 1000)}"
        if kind < 0.80:
            return f"{self.pick('readv', 'aio_read')} {self.pick('', '-v ')}{at} 512 512"
        if kind < 0.83:
            start, part = self.pick(0, 512, length), self.pick(1, 512, length)
            return f"read -P 0 -s {start} -l {part} {place}"
        if kind < 0.87:
            return self.pick("map", "length", "flush", "info", "aio_flush", "map", "map")
        if kind < 0.91:
            return f"alloc {at} {length}"
        if kind < 0.93:
            return f"truncate {self.pick('', '-m off ', '-m metadata ')}{self.text(self.size())}"
        if kind < 0.94:
            return f"aio_discard {place}"
        if kind < 0.95:
            return self.pick("reopen -r", "reopen -w", "reopen -c none", "reopen -c writeback")
        if kind < 0.96:
            return f"{self.pick('write', 'read')} -b {self.pick('', '-P 7 ')}{place}"
        if kind < 0.97:
            flags = self.pick("-z -c", "-z -P 1", "-u", "-n", "-c -f", "-s", "-s nofile", "-P 300")
            return f"write {flags} {place}"
        return self.pick("nosuch", "read", f"read {at}", f"write {place} 3", f"read -P x {place}",
                         f"write {self.wrong_size()} 512", f"read 0 {self.wrong_size()}", "alloc x",
                         "truncate -m nosuch 1M", f"truncate {self.wrong_size()}", "read -1 512",
                         "write 0 -512", "discard 0 4G", "write -z 0 4G", "read 0 4G",
                         "read -b 0 512",
                         "discard", "aio_read 0 1 x", "quit", "help read", "close", "open",
                         "writev 0 512 x", "write -P 0x1f 0 512", "write -P 010 0 512")

    def io(self, image=None, count=None):
        image = image or self.any_image()
        if not image:
            return
        commands = []
        for _ in range(count or self.rng.randrange(1, 7)):
            command = self.io_command(image.fmt, image.size)
            if image.secret and "truncate" in command:
                continue
            if image.huge and "-z" in command and "4G" in command:
                continue
            commands += ["-c", command]
            if command.startswith("aio_") and "flush" not in command:
                commands += ["-c", "aio_flush"]
        before, name = self.access(image, 0.08)
        extra = self.some(0.05, "-r") + self.some(0.04, "-C") + self.some(0.06, "-d", self.pick(
            "unmap", "ignore", "nosuch")) + self.some(0.06, "-t", self.pick(
                "none", "writeback", "unsafe", "directsync", "writethrough", "nosuch"))
        extra += self.some(0.03, "-s") + self.some(0.02, "-U")
        self.add("io", before + extra + commands + ([name] if not self.maybe(0.01) else []))

    # ---- vitrine-img's other commands ----

    def info(self):
        image = self.any_image()
        before, name = self.access(image)
        self.img("info", *before, *self.some(0.5, "--output=json"),
                 *self.some(0.3, "--backing-chain"), *self.some(0.1, "-U"), name)

    def map(self):
        image = self.any_image()
        before, name = self.access(image)
        at, length = self.where(image.size)
        self.img("map", *before, *self.some(0.5, "--output=json"),
                 *self.some(0.3, f"--start-offset={self.text(at)}"),
                 *self.some(0.3, f"--max-length={self.text(length)}"), *self.some(0.1, "-U"), name)

    def check(self):
        image = self.any_image()
        before, name = self.access(image)
        self.img("check", *before, *self.some(0.3, "--output=json"),
                 *self.some(0.3, "-r", self.pick("all", "leaks", "nosuch")), *self.some(0.1, "-q"),
                 name)

    def measure(self):
        fmt = self.pick("qcow2", "raw", "qcow2", "luks", "vmdk", "vdi")
        words, secret = self.create_options(fmt, 0)
        words = [word for word in words if not word.startswith(("data_file", "encrypt"))]
        options = ["-O", fmt] + (["-o", ",".join(words)] if words else [])
        if secret:
            options += ["--object", SECRET]
        image = self.any_image()
        if self.maybe(0.5):
            before, name = ["--size"], self.text(self.size())
        else:
            before, name = self.access(image)
        self.img("measure", *options, *self.some(0.5, "--output=json"), *before, name)

    def snapshot(self):
        image = self.any_image("qcow2") if not self.maybe(0.05) else self.any_image()
        if not image:
            return
        before, name = self.access(image)
        tag = self.pick("s1", "s2", "1", "2", "a b", "x" * 40)
        kind = self.pick("-c", "-c", "-a", "-d", "-l")
        self.img("snapshot", *before, *self.some(0.05, "-q"), kind,
                 *([] if kind == "-l" else [tag]), name)
        if kind == "-c":
            image.snapshots.append(tag)

    def bitmap(self):
        image = self.any_image("qcow2") if not self.maybe(0.05) else self.any_image()
        if not image:
            return
        before, name = self.access(image)
        tag = self.pick("b1", "b1", "b2", "b3")
        kind = self.pick("--add", "--add", "--remove", "--clear", "--enable", "--disable",
                         "--merge", "--add --disable", "--disable --enable", "--add --merge")
        words = kind.split()
        if "--merge" in words:
            words.append(self.pick("b1", "b2", "b3"))
            other = self.any_image("qcow2")
            if other and self.maybe(0.3):
                words += ["-b", other.name] + self.some(0.7, "-F", "qcow2")
        words += self.some(0.2, "-g", self.pick("512", "4k", "64k", "1M", "16k", "3", "2G", "x"))
        self.img("bitmap", *words, *before, name, tag)

    def resize(self):
        image = self.any_image()
        if image.secret or image.huge and self.maybe(0.7):     # encrypted zeroes are not zeroes
            return
        before, name = self.access(image)
        kind = self.rng.random()
        if kind < 0.4:
            by = self.pick(512, 65536, MIB, 5 * MIB, 100)
            word, size = f"+{self.text(by)}", image.size + by
        elif kind < 0.5:
            by = self.pick(512, 65536, MIB, 5 * MIB, 100)
            word, size = f"-{self.text(by)}", image.size - by
        else:
            size = min(self.size(), 256 * MIB)
            word = self.text(size)
        if self.maybe(0.04):
            word, size = self.wrong_size(), image.size
        shrink = size < image.size and self.maybe(0.85) or self.maybe(0.1)
        modes = ["off", "metadata", "x"]
        if abs(size - image.size) <= 64 * MIB:
            modes += ["falloc", "full"]
        self.img("resize", *(["--shrink"] if shrink else []), *self.some(0.1, "-q"),
                 *self.some(0.15, f"--preallocation={self.pick(*modes)}"),
                 *before, *(["--"] if word.startswith("-") and self.maybe(0.7) else []), name, word)
        if size >= 0:
            image.size = size

    def rebase(self):
        image = self.any_image(*BACKED)
        if not image or image.huge:
            return
        before, name = self.access(image, 0)
        below = self.any_image()
        word = [] if self.maybe(0.1) and image.backing else ["-b", ""]
        if self.maybe(0.65) and below.name != name and not below.secret and below.backing != image:
            word = ["-b", below.name] + self.some(0.9, "-F", below.fmt)
        self.img("rebase", *self.some(0.25, "-u"), *self.some(0.1, "-p"), *self.some(0.1, "-c"),
                 *before, *word, name)
        image.backing = below if len(word) > 1 and word[1] else None

    def commit(self):
        image = self.any_image(*BACKED, backed=not self.maybe(0.1))
        if not image or image.huge:
            return
        before, name = self.access(image, 0)
        base = []
        if image.backing and self.maybe(0.25):
            other = image.backing.backing if image.backing.backing and self.maybe(0.6) else \
                image.backing
            base = ["-b", other.name]
        self.img("commit", *self.some(0.2, "-d"), *self.some(0.1, "-p"), *self.some(0.05, "-q"),
                 *base, *before, name)

    def convert(self):
        image = self.any_image()
        if image.huge and image.fmt in ("vmdk", "vpc", "vhdx", "qed", "luks"):
            return
        fmt = self.pick(*FORMATS)
        if image.huge and fmt not in ("qcow2", "raw"):
            return
        before, name = self.access(image, 0.1, image_opts=True)
        words, secret = self.create_options(fmt, image.size)
        if image.huge:
            words = [word for word in words if not word.startswith(("prealloc", "subformat"))]
        objects = ["--object", SECRET] if secret and not image.secret else []
        options = ["-O", fmt] + (["-o", ",".join(words)] if words else [])
        options += self.some(0.2, "-c") + self.some(0.25, "-S", self.pick(
            "0", "4k", "512", "64k", "1k", "1M", "3k", "x") if not image.huge else "4k")
        options += self.some(0.1, "-p") + self.some(0.05, "-q") + self.some(0.05, "-U")
        options += self.some(0.05, "--salvage") + self.some(0.05, "-W") + self.some(
            0.1, "-m", self.pick("1", "4", "16", "17", "0", "x"))
        options += self.some(0.05, "-C") + self.some(0.04, "-r", self.pick("100M", "1G", "x", "0"))
        if image.bitmaps or image.fmt == "qcow2" and self.maybe(0.1):
            options += self.some(0.5, "--bitmaps") + self.some(0.3, "--skip-broken-bitmaps")
        if image.snapshots:
            options += self.some(0.3, "-l", self.pick("s1", "1", "snapshot.name=s1",
                                                      "snapshot.id=2", "nosuch",
                                                      "snapshot.id=1,snapshot.name=s1"))
        names = [name]
        if image.fmt == "raw" and not image.secret and self.maybe(0.06):
            other = self.any_image("raw")
            if other and not other.huge and not image.huge:
                names.append(other.name)
        backing = None
        if fmt in BACKED and self.maybe(0.12):
            backing = self.any_image(*(("vmdk",) if fmt == "vmdk" else ()))
            if backing and not backing.secret and not backing.huge:
                options += ["-B", backing.name] + self.some(0.9, "-F", backing.fmt)
        existing = self.any_image(fmt)
        if existing and not existing.secret and not secret and self.maybe(0.15) and \
                existing.name != image.name and not existing.huge and not image.huge:
            options += self.some(0.75, "-n") + self.some(0.2, "--target-is-zero")
            if "-n" in options:
                options = [word for word in options if word != ",".join(words)]
                options = [word for word in options if word != "-o"]
            target = existing.name
        else:
            target = self.new_name(fmt)
        if self.maybe(0.03):
            options += [self.pick("--target-is-zero", "-n", "--target-image-opts", "-l",
                                  "--bitmaps")]
        self.img("convert", *before, *objects, *options, *names, target)
        if "-n" not in options:
            self.images[target] = Image(target, fmt, image.size, secret=secret, backing=backing)

    def amend(self):
        image = self.any_image("qcow2", "qcow2", "luks") if not self.maybe(0.1) else \
            self.any_image()
        if not image:
            return
        before, name = self.access(image)
        words = [self.pick("compat=0.10", "compat=1.1", "lazy_refcounts=on", "lazy_refcounts=off",
                           "refcount_bits=16", "refcount_bits=1", "refcount_bits=64",
                           "refcount_bits=8", "refcount_bits=32",
                           "size=16M", "size=40M", "backing_file=x", "backing_fmt=raw", "nosuch=1",
                           "cluster_size=64k", "data_file=x", "data_file_raw=on",
                           "extended_l2=on", "preallocation=metadata", "encrypt.format=luks",
                           "compression_type=zstd", "refcount_bits=3", "")
                 for _ in range(self.pick(1, 1, 1, 0))]
        self.img("amend", *self.some(0.2, "-p"), *self.some(0.1, "-q"), *self.some(0.1, "--force"),
                 *before, "-o", ",".join(words), name)

    def dd(self):
        image = self.any_image()
        if image.huge or image.secret:
            return
        fmt = self.pick(*FORMATS)
        if fmt == "luks":
            fmt = "raw"
        before, name = self.access(image, 0)
        target = self.new_name(fmt) if not self.maybe(0.1) else self.any_image().name
        if target == image.name:    # theirs empties it first
            target = self.new_name(fmt)
        bs = self.pick(512, 1000, 4096, 65536, MIB, 3 * MIB)
        words = self.some(0.7, f"bs={self.text(bs)}")
        if not words:
            bs = 512
        words += self.some(0.5, f"count={self.pick(0, 1, 2, 10, 1000)}")
        words += self.some(0.4, f"skip={self.pick(0, 1, 2, 10, 1000, 1 << 62)}")
        words += self.some(0.04, self.pick("bs=0", "bs=x", "count=x", "skip=-1", "seek=1",
                                           "conv=sync", "bs=3G", "bs=2G", "count=", "bs",
                                           "count=1M"))
        if image.size // bs > 20000:
            words.append("count=100")
        words += [f"if={name}", f"of={target}"]
        self.rng.shuffle(words)
        self.img("dd", *before, *self.some(0.8, "-O", fmt), *self.some(0.05, "-U"), *words)
        self.images[target] = Image(target, fmt if "-O" in self.steps[-1][1] else "raw", image.size)

    def compare(self):
        a, b = self.any_image(), self.any_image()
        if a.secret or b.secret:
            return
        words = self.some(0.9, "-f", a.fmt) + self.some(0.9, "-F", b.fmt)
        self.img("compare", *words, *self.some(0.3, "-s"), *self.some(0.1, "-p"),
                 *self.some(0.1, "-q"), *self.some(0.1, "-U"), a.name, b.name)

    def file(self):
        """Something happens to a file."""
        image = self.any_image()
        if image.huge:
            return
        kind = self.rng.randrange(4)
        if kind == 0:
            self.add("file", "truncate", image.name, self.pick(0, 1, 512, 4096, 65536, 65537,
                                                              3 * 65536, MIB))
        elif kind == 1:
            self.add("file", "remove", image.name)
        elif kind == 2:
            self.add("file", "copy", image.name, f"copy{self.made}.{image.fmt}")
        else:
            self.add("file", "patch", image.name, self.rng.randrange(0, 1024),
                     self.pick("00", "ff", "0100", "7fffffff", "0000000000000000"))

    def locked(self):
        """While another program has the image open."""
        image = self.any_image()
        if image.secret:
            return
        count = len(self.steps)
        self.pick(self.io, self.info, self.check, self.convert, self.resize, self.snapshot,
                  self.create, self.commit)()
        if len(self.steps) > count:
            inner = self.steps.pop()
            if inner[0] in ("img", "io"):
                self.add("held", image.name, image.fmt, self.pick("r", "w", "w"), inner)

    def verify(self):
        for image in self.images.values():
            self.add("verify", image.name, image.fmt, image.secret)
        if self.maybe(0.5):
            self.add("cross",)

    ACTS = [(create, 8), (io, 20), (info, 4), (map, 5), (check, 3), (measure, 4), (snapshot, 7),
            (bitmap, 6), (resize, 6), (rebase, 5), (commit, 5), (convert, 9), (amend, 3), (dd, 3),
            (compare, 3), (file, 2), (locked, 2)]

    def write(self, count):
        """`count` steps and what surrounds them."""
        self.create()
        acts, weights = zip(*self.ACTS)
        for number in range(count):
            act = self.rng.choices(acts, weights)[0]
            act(self)
            if number % 6 == 5:
                self.verify()
        self.verify()
        return self.steps
