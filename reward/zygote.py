# reward/zygote.py: a warm interpreter. It has entered its namespaces (sandbox_launch.c) and
# now forks once a run: the child is process 1 of a new pid namespace with an empty /tmp,
# drops all it has, and only then looks at what it is to run. The parent never runs any of
# it, and no child can name the parent. Packets are those of sandbox_wire.h.
import array, ast, bisect, cmath, collections, copy, ctypes, datetime, decimal, fractions
import functools, gc, heapq, io, itertools, json, math, operator, os, random, re, resource
import select, signal, socket, string, struct, sys, traceback, types, typing

CONTROL, RUN, READY, OVER, FAILED = 3, 1, 1, 2, 3
WIRE = struct.Struct("=8i2q2048s")
LAYERS, ABI, FILTER = (int(word) for word in sys.argv[1:4])
SECCOMP, LANDLOCK = 1 << 2, 1 << 3
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def call(what, *args):
    if getattr(libc, what)(*args) < 0:
        raise OSError(ctypes.get_errno(), what + ": " + os.strerror(ctypes.get_errno()))


def syscall(number, *args):
    result = libc.syscall(ctypes.c_long(number), *args)
    if result < 0:
        raise OSError(ctypes.get_errno(), "system call %d" % number)
    return result


def prctl(*args):
    call("prctl", *[ctypes.c_ulong(a) for a in args + (0,) * (5 - len(args))])


class Program(ctypes.Structure):
    _fields_ = [("n", ctypes.c_ushort), ("code", ctypes.c_char_p)]


os.lseek(FILTER, 0, 0)
filter_code = os.read(FILTER, 1 << 20)
os.close(FILTER)
filter_program = Program(len(filter_code) // 8, filter_code)
no_caps = ctypes.create_string_buffer(24)
cap_head = struct.pack("=Ii", 0x20080522, 0)


# --- the child confines itself ---------------------------------------------------------


def landlock():
    all_fs = (1 << 13) - 1
    for version, bit in (2, 13), (3, 14), (5, 15):
        all_fs |= (ABI >= version) << bit
    attr = struct.pack("=3Q", all_fs, 3, 3)
    size = 24 if ABI >= 6 else 16 if ABI >= 4 else 8
    ruleset = syscall(444, attr, ctypes.c_size_t(size), 0)
    special = 1 << 6 | 1 << 11 | 1 << 15
    for path, access in ("/", 13), ("/dev", 14), ("/tmp", all_fs & ~special):
        fd = os.open(path, os.O_PATH)
        syscall(445, ruleset, 1, struct.pack("=Qi", access, fd), 0)
        os.close(fd)
    syscall(446, ruleset, 0)
    os.close(ruleset)


def limits(memory, tmp, processes, cpu_s):
    for what, soft, hard in (
        (resource.RLIMIT_CORE, 1, 1),
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_DATA, memory, memory),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, tmp, tmp),
        (resource.RLIMIT_NPROC, processes + 1, processes + 1),
        (resource.RLIMIT_NOFILE, 256, 256),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_SIGPENDING, 256, 256),
    ):
        resource.setrlimit(what, (soft, hard))


def confine(run, fds, report):
    has_peer, processes, cpu_s, memory, tmp = run[4], run[6], run[7], run[8], run[9]
    prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.setsid()
    call("unshare", 0x00020000)  # CLONE_NEWNS
    options = "size=%d,nr_inodes=4096,mode=700" % tmp
    call("mount", b"tmpfs", b"/tmp", b"tmpfs", ctypes.c_ulong(2 | 4), options.encode())
    os.chdir("/tmp")
    for i, fd in enumerate(fds[:4] + (fds[5:] if has_peer else [])):
        os.dup2(fd, i)
    for first, last in (5 if has_peer else 4, report - 1), (report + 1, 0xFFFFFFFF):
        call("close_range", ctypes.c_uint(first), ctypes.c_uint(last), 0)
    limits(memory, tmp, processes, cpu_s)
    prctl(38, 1)  # PR_SET_NO_NEW_PRIVS
    if LAYERS & LANDLOCK:
        landlock()
    for cap in range(64):
        libc.prctl(24, ctypes.c_ulong(cap), 0, 0, 0)  # PR_CAPBSET_DROP
    prctl(47, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
    call("capset", cap_head, no_caps)
    if LAYERS & SECCOMP:
        if libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(filter_program), 0, 0) < 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


# --- the child runs its job ------------------------------------------------------------


def encode(x, depth=0, repr=repr, isinstance=isinstance, type=type, bool=bool, len=len):
    """A value as closed text: Python's literals and a few calls. Names what it cannot."""
    if x is None or x is True or x is False or x is Ellipsis:
        return repr(x)
    deeper = depth + 1
    if isinstance(x, int):
        return int.__repr__(x)
    if isinstance(x, float):
        return float.__repr__(x)
    if isinstance(x, str):
        return str.__repr__(x)
    if isinstance(x, bytes):
        return bytes.__repr__(x)
    if isinstance(x, bytearray):
        return "bytearray(" + bytes.__repr__(bytes(x)) + ")"
    if isinstance(x, complex):
        return "complex(%r,%r)" % (x.real, x.imag)
    if depth < 90:
        if isinstance(x, list):
            return "[" + ",".join([encode(y, deeper) for y in list.__iter__(x)]) + "]"
        if isinstance(x, tuple):
            return "(" + "".join([encode(y, deeper) + "," for y in tuple.__iter__(x)]) + ")"
        if isinstance(x, dict):
            pairs = [encode(k, deeper) + ":" + encode(v, deeper) for k, v in dict.items(x)]
            return "{" + ",".join(pairs) + "}"
        for kind, name in (set, "set"), (frozenset, "frozenset"), (collections.deque, "deque"):
            if isinstance(x, kind):
                return name + "([" + ",".join([encode(y, deeper) for y in kind.__iter__(x)]) + "])"
        if isinstance(x, range):
            return "range(%d,%d,%d)" % (x.start, x.stop, x.step)
        if isinstance(x, decimal.Decimal):
            return "Decimal('" + decimal.Decimal.__str__(x) + "')"
        if isinstance(x, fractions.Fraction):
            return "Fraction(%d,%d)" % (x.numerator, x.denominator)
    return "opaque(%r,%r)" % (type(x).__name__, bool(x))


def say(fd, text, write=os.write):
    data = text.encode("utf-8", "surrogatepass")
    while data:
        data = data[write(fd, data) :]


def load(name, source):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, "main.py", "exec"), module.__dict__)
    return module.__dict__


def record(tag, text):
    say(3, "%s %d\n%s\n" % (tag, len(text.encode("utf-8", "surrogatepass")), text))


def run_calls(job, encode=encode, record=record, eval=eval, exec=exec):
    """One record a step: V and the value, or E and what was raised."""
    try:
        names = load("solution", job["source"])
        exec(job.get("setup") or "", names)
    except BaseException as e:
        record("L", type(e).__name__)
        return 0
    record("R", "")
    for step in job["calls"]:
        try:
            if step[0] == "x":
                exec(step[1], names)
                record("X", "")
            else:
                record("V", encode(eval(step[1].strip(), names)))
        except BaseException as e:
            record("E", type(e).__name__)
    return 0


def run_script(job):
    try:
        load("__main__", job["source"])
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else e.code is not None
        if code is True:
            print(e.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    for end in "threading", "atexit":
        if end in sys.modules:
            getattr(sys.modules[end], "_shutdown" if end == "threading" else "_run_exitfuncs")()
    return int(code) & 255


def run_job(data):
    job = json.loads(data)
    sys.argv = ["main.py"]
    for fd, name, mode in (0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w"):
        errors = "surrogateescape" if fd < 2 else "backslashreplace"
        stream = open(fd, mode, encoding="utf-8", errors=errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)
    sys.set_int_max_str_digits(0)
    gc.enable()
    code = run_script(job) if job["mode"] == "script" else run_calls(job)
    for stream in sys.stdout, sys.stderr:
        try:
            stream.flush()
        except BaseException:
            code = code or 120
    return code


# --- the parent ------------------------------------------------------------------------


def send(what, status=0, text=""):
    control.send(struct.pack("=2i248s", what, status, text.encode()[:247]))


def be_child(run, fds, report):
    """Confined first, then the job. Never returns, whatever the job does."""
    code = 127
    try:
        data = os.pread(fds[4], os.fstat(fds[4]).st_size, 0)
        confine(run, fds, report)
        os.write(report, b"ok")
        os.close(report)
        code = run_job(data)
    except BaseException as e:
        if code == 127:
            os.write(report, str(e).encode()[:200])
    finally:
        os._exit(code)


def start(run, fds):
    """The child's pid, or None after a reply that says why not."""
    read_end, write_end = os.pipe()
    report = os.dup2(write_end, 200, inheritable=False)  # out of the way of 0 to 4
    os.close(write_end)
    call("unshare", 0x20000000)  # CLONE_NEWPID, for the next child
    pid = os.fork()
    if pid == 0:
        be_child(run, fds, report)
    os.close(report)
    call("setns", self_fd, 0x20000000)
    why = os.read(read_end, 200)
    os.close(read_end)
    if why == b"ok":
        return pid
    os.waitpid(pid, 0)
    send(FAILED, 0, why.decode(errors="replace") or "the child died before its job")
    return None


def watch(pid):
    """Until the run is over, or the sandbox says or shows that it should be."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(CONTROL, select.POLLIN)
    while True:
        ready = [fd for fd, _ in poll.poll()]
        if pidfd in ready:
            break
        gone = not control.recv(WIRE.size)
        os.kill(pid, signal.SIGKILL)
        if gone:
            os._exit(0)
    os.close(pidfd)
    send(OVER, os.waitpid(pid, 0)[1])


def serve():
    while True:
        packet, fds, _, _ = socket.recv_fds(control, WIRE.size, 16)
        if not packet:
            os._exit(0)
        run = WIRE.unpack(packet) if len(packet) == WIRE.size else (0,)
        if run[0] == RUN:
            pid = start(run, fds)
            for fd in fds:
                os.close(fd)
            if pid:
                watch(pid)


self_fd = os.pidfd_open(os.getpid())
control = socket.socket(fileno=CONTROL)
control.set_inheritable(False)
sys.path[:] = [path for path in sys.path if path]
gc.collect()
gc.disable()
gc.freeze()
send(READY)
serve()
