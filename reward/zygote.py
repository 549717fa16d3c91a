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


def encode(x, depth=0, keep=None, repr=repr, isinstance=isinstance, type=type, bool=bool):
    """A value as closed text: Python's literals and a few calls. What is more than plain
    data is named, or whatever keep makes of it."""
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
            return "[" + ",".join([encode(y, deeper, keep) for y in list.__iter__(x)]) + "]"
        if isinstance(x, tuple):
            return "(" + "".join([encode(y, deeper, keep) + "," for y in tuple.__iter__(x)]) + ")"
        if isinstance(x, dict):
            pairs = [(encode(k, deeper, keep), encode(v, deeper, keep)) for k, v in dict.items(x)]
            return "{" + ",".join([":".join(pair) for pair in pairs]) + "}"
        for kind, name in (set, "set"), (frozenset, "frozenset"), (collections.deque, "deque"):
            if isinstance(x, kind):
                items = [encode(y, deeper, keep) for y in kind.__iter__(x)]
                return name + "([" + ",".join(items) + "])"
        if isinstance(x, range):
            return "range(%d,%d,%d)" % (x.start, x.stop, x.step)
        if isinstance(x, decimal.Decimal):
            return "Decimal('" + decimal.Decimal.__str__(x) + "')"
        if isinstance(x, fractions.Fraction):
            return "Fraction(%d,%d)" % (x.numerator, x.denominator)
    return keep(x) if keep else "opaque(%r,%r)" % (type(x).__name__, bool(x))


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


# Test code that could not be taken apart runs in one child (run_tests), the program in
# another (run_serve); between them goes encoded data over fd 4, and handles for the rest.
# No line of the program is ever executed where the test's verdict is made.
PEER, LONGEST = 4, 16 << 20
MAKERS = dict(set=set, frozenset=frozenset, deque=collections.deque, range=range)
MAKERS.update(bytearray=bytearray, complex=complex, Decimal=decimal.Decimal)
MAKERS.update(Fraction=fractions.Fraction)


class Unsendable(BaseException):
    """A test gives the program what is no plain data, such as a function of its own."""


def decode(text, handle):
    def build(node):
        if isinstance(node, ast.Call):
            make = handle if node.func.id == "handle" else MAKERS[node.func.id]
            return make(*[build(arg) for arg in node.args])
        if isinstance(node, ast.Name):
            return float(node.id)
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            kind = {ast.List: list, ast.Tuple: tuple, ast.Set: set}[type(node)]
            return kind([build(item) for item in node.elts])
        if isinstance(node, ast.Dict):
            return {build(k): build(v) for k, v in zip(node.keys, node.values)}
        return ast.literal_eval(node)

    return build(ast.parse(text, mode="eval").body)


def read_exactly(n):
    data = b""
    while len(data) < n:
        more = os.read(PEER, n - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def receive():
    n = int.from_bytes(read_exactly(4), "big")
    if n > LONGEST:
        raise OverflowError
    return read_exactly(n).decode("utf-8", "surrogatepass")


def transmit(text):
    data = text.encode("utf-8", "surrogatepass")
    data = len(data).to_bytes(4, "big") + data
    while data:
        data = data[os.write(PEER, data) :]


def perform(what, on, args, kwargs):
    if what == "call":
        return on(*args, **kwargs)
    if what == "get":
        return getattr(on, *args)
    if what == "set":
        return setattr(on, *args)
    if what == "item":
        return on[args[0]]
    return {"list": list, "len": len, "bool": bool}[what](on)


def run_serve(job):
    kept = []

    def keep(x):
        kept.append(x)
        return "handle(%d)" % (len(kept) - 1)

    names = load("solution", job["source"])
    while True:
        try:
            request = receive()
        except EOFError:
            return 0
        try:
            find = lambda key: names[key] if isinstance(key, str) else kept[key]
            what, on, args, kwargs = decode(request, find)
            transmit("V" + encode(perform(what, find(on), args, kwargs), 0, keep))
        except BaseException as e:
            transmit("E" + type(e).__name__)


class Remote:
    """What the program has: a function by name, an object by number."""

    def __init__(self, key):
        object.__setattr__(self, "_key", key)

    def __call__(self, *args, **kwargs):
        return ask("call", self, args, kwargs)

    def __getattr__(self, name):
        return ask("get", self, (name,))

    def __setattr__(self, name, value):
        ask("set", self, (name, value))

    def __getitem__(self, key):
        return ask("item", self, (key,))

    def __iter__(self):
        return iter(ask("list", self))

    def __len__(self):
        return ask("len", self)

    def __bool__(self):
        return ask("bool", self)


def refer(x):
    if type(x) is Remote:
        return "handle(%r)" % (x._key,)
    raise Unsendable


def ask(what, on, args=(), kwargs={}):
    transmit(encode((what, on._key, args, kwargs), 0, refer))
    answer = receive()
    if answer[:1] == "V":
        return decode(answer[1:], Remote)
    kind = getattr(__import__("builtins"), answer[1:], RuntimeError)
    known = isinstance(kind, type) and issubclass(kind, Exception)
    raise (kind if known else RuntimeError)("raised by the program")


def unknown_names(tree):
    """What test code uses and neither makes nor finds in Python: it is the program's."""
    used, made = set(), set(dir(__import__("builtins")))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else made).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.alias):
            made.add((node.asname or node.name).split(".")[0])
    return used - made


def modules_among(names, tree):
    """Those that are only looked into, as `sys.maxsize` is, and are modules of Python's."""
    bases = [n.value for n in ast.walk(tree) if isinstance(n, ast.Attribute)]
    uses = [n for n in ast.walk(tree) if isinstance(n, ast.Name)]
    whole = {n.id for n in uses if not any(n is base for base in bases)}
    return (names - whole) & sys.stdlib_module_names


def run_tests(job):
    """One record a test: P, F and what was raised, or U where it cannot be carried out."""
    whole = "\n".join([job["setup"]] + job["tests"])
    tree = ast.parse(whole)
    unknown = unknown_names(tree)
    names = {name: Remote(name) for name in unknown}
    names.update((name, __import__(name)) for name in modules_among(unknown, tree))
    names["__name__"] = "tests"
    for i, source in enumerate([job["setup"]] + job["tests"]):
        try:
            exec(compile(source.strip(), "tests.py", "exec"), names)
            if i:
                record("P", "")
        except Unsendable:
            record("U", "")
        except BaseException as e:
            record("F", type(e).__name__)
            if i == 0:
                break
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
    modes = {"script": run_script, "calls": run_calls, "serve": run_serve, "tests": run_tests}
    code = modes[job["mode"]](job)
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
