"""Tries to reach what an agent was not given; prints each attempt and whether it went well, as one line of JSON.

Its argument is a JSON file with the places, see `places` in attack-host.ts. An attempt that changes something leaves
the mark of this run in it, so that the test looks from outside whether it is really there.
"""

import base64, glob, hashlib, hmac, json, os, signal, socket, subprocess, sys

P = json.load(open(sys.argv[1]))
MARK = sys.argv[2]
SECRET = "SECRET-"


def reads(path):
    with open(path, errors="replace") as file:
        return SECRET in file.read()


def writes(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a") as file:
        file.write(MARK)
    return True


def replaces(path):
    temporary = path + "." + MARK
    with open(temporary, "w") as file:
        file.write(MARK)
    os.rename(temporary, path)
    return True


def environment_of_any():
    found = False
    for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/task/*/environ"):
        try:
            found = found or reads(path)
        except OSError:
            pass
    return found


def through_proc(path):
    """By the root of another process, which may see more."""
    for place in glob.glob("/proc/[0-9]*/root"):
        try:
            if reads(place + path):
                return True
        except OSError:
            pass
    return False


def in_own_namespace(what):
    """As root of a user namespace of its own, where it may mount."""
    script = f"for i in 1 2 3; do umount -l {what} 2>/dev/null; done; grep -q {SECRET} {what}"
    return subprocess.run(["unshare", "-Urm", "sh", "-c", script], capture_output=True).returncode == 0


def over_mount(path):
    script = f"mount --bind / /mnt && grep -q {SECRET} /mnt{path}"
    return any(
        subprocess.run(how + ["sh", "-c", script], capture_output=True).returncode == 0
        for how in ([], ["unshare", "-Urm"], ["unshare", "-m"])
    )


def greets(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(address)
        return connection.recv(5) == b"hello"


def connects(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(address)
        return True


def any_daemon():
    return any(connects(path) for path in glob.glob("/tmp/codex-daemon-*/*") if not path.endswith(".lock"))


def approves_itself():
    """What the listener asks for: a password made of its secret, over the network."""
    secret = open(P["listenerSecret"]).read().strip()
    password = base64.urlsafe_b64encode(hmac.new(secret.encode(), b"a", hashlib.sha256).digest()).rstrip(b"=")
    return len(password) == 43 and greets(socket.AF_INET, ("127.0.0.1", P["port"]))


def ends(pid):
    os.kill(pid, signal.SIGKILL)
    return True


def links(target, name):
    os.symlink(target, os.path.join(P["work"], name))
    return True


def links_hard(target, name):
    os.link(target, os.path.join(P["work"], name))
    return True


def copies(target, name):
    text = open(target).read()
    with open(os.path.join(P["work"], name), "w") as file:
        file.write(text)
    return True


def memory_of(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        return file is not None


def through_descriptor():
    """By a file that codex or the sandbox left open."""
    for place in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(place).startswith("/") and int(place.rsplit("/", 1)[1]) > 2 and reads(place):
                return True
        except OSError:
            pass
    return False


def traces(pid):
    """Of processes that it sees none but its own may be read or changed."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return libc.ptrace(16, pid, 0, 0) == 0


def opens_to_write(path):
    with open(path, "r+b"):
        return True


def made_device():
    path = os.path.join(P["work"], "device-" + MARK)
    os.mknod(path, 0o600 | 0o060000, os.makedev(8, 0))
    return open(path, "rb").read(1) is not None


ATTEMPTS = {
    "read of the machine": lambda: "root:" in open("/etc/passwd").read(),
    **{f"read {name}": (lambda path=path: reads(path)) for name, path in P["read"].items()},
    **{f"write {name}": (lambda path=path: writes(path)) for name, path in P["write"].items()},
    "environment of any process": environment_of_any,
    "memory of the worker": lambda: memory_of(P["worker"]),
    "account through /proc": lambda: through_proc(P["read"]["account"]),
    "account without its cover": lambda: in_own_namespace(P["read"]["account"]),
    "codex home without its cover": lambda: in_own_namespace(os.path.dirname(P["read"]["account"])),
    "a descriptor left open": through_descriptor,
    "trace the worker": lambda: traces(P["worker"]),
    "settings of the kernel": lambda: opens_to_write("/proc/sys/kernel/core_pattern"),
    "account by a mount": lambda: over_mount(P["read"]["account"]),
    "account by a device": made_device,
    "tcp": lambda: greets(socket.AF_INET, ("127.0.0.1", P["port"])),
    "unix socket": lambda: greets(socket.AF_UNIX, P["socket"]),
    "abstract socket": lambda: greets(socket.AF_UNIX, ("\0" + P["abstract"]).ljust(108, "\0")),
    "socket of the data folder": lambda: greets(socket.AF_UNIX, P["dataSocket"]),
    "socket of codex": lambda: connects(P["codexSocket"]),
    "sockets of all codexes": any_daemon,
    "approve itself": approves_itself,
    "end the worker": lambda: ends(P["worker"]),
    "link to the account": lambda: links(P["read"]["account"], "link-" + MARK),
    "hard link to the account": lambda: links_hard(P["read"]["account"], "hard-" + MARK),
    "copy of the account": lambda: copies(P["read"]["account"], "copy-" + MARK),
    "copy of another's account": lambda: copies(P["read"]["account of b"], "copy-b-" + MARK),
    **{f"replace {name}": (lambda path=path: replaces(path)) for name, path in P["replace"].items()},
}


def tried(attempt):
    try:
        return bool(attempt())
    except Exception:
        return False


print("RESULTS " + json.dumps({name: tried(attempt) for name, attempt in ATTEMPTS.items()}), flush=True)
