"""What the side-by-side benchmarks share: measuring while nobody else computes, and the log.

A machine is seldom alone. A window begins when the others have computed little for a while
(/proc/stat: all that was not idle), or after MAX_PAUSE of waiting for that. The kernel counts
how long a measured thread was ready to run and had to wait (schedstat); a window in which that
was more than MAX_WAIT of the time is thrown away and tried again, and so is one in which this
process was stopped. Nothing here takes the processor from anybody.
"""
import json
import os
import statistics
import subprocess
import sys
import threading
import time

MAX_WAIT = 0.06
TRIES = 6
JEMALLOC = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2"
QUIET = 0.1  # of one processor, which the others may use before a window
PAUSE = 2  # seconds for which they must
MAX_PAUSE = 300  # seconds to wait for that


def torch_environment(malloc, threads):
    """malloc is glibc, glibc-keep or jemalloc; the last two give no memory back."""
    env = dict(os.environ, OMP_NUM_THREADS=str(threads))
    if malloc == "glibc-keep":
        env["GLIBC_TUNABLES"] = ("glibc.malloc.mmap_threshold=4294967296:"
                                 "glibc.malloc.trim_threshold=17179869184")
    elif malloc == "jemalloc":
        env["LD_PRELOAD"] = JEMALLOC
        env["MALLOC_CONF"] = "dirty_decay_ms:-1,muzzy_decay_ms:-1,thp:always"
    return env


class Watch:
    """How long the main thread of a living process, or of one that ended and was not yet
    waited for, had to wait."""

    def __init__(self, pid):
        self.pid, self.start, self.before = pid, time.monotonic(), 0.0
        self.before = self.waited()

    def waited(self):
        with open(f"/proc/{self.pid}/schedstat") as f:
            return int(f.read().split()[1]) * 1e-9 - self.before

    def share(self):
        return self.waited() / (time.monotonic() - self.start)


def run_watched(command, **kwargs):
    """The standard output of a command that succeeds, and the share of its time it waited."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **kwargs)
    watch = Watch(child.pid)
    out = child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    share = watch.share()
    if child.wait() != 0:
        raise subprocess.CalledProcessError(child.returncode, command)
    return out, share


def busy_seconds():
    """What all processors have worked since the start of the machine."""
    with open("/proc/stat") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet():
    """Until the processors' time used while this process slept is at most QUIET of one."""
    begin = time.monotonic()
    while True:
        start, before = time.monotonic(), busy_seconds()
        time.sleep(PAUSE)
        now = time.monotonic()
        used = (busy_seconds() - before) / (now - start)
        if used <= QUIET:
            return
        if now - begin >= MAX_PAUSE:
            print(f"  not quiet for {now - begin:.0f} s, others use {used:.2f} processors",
                  file=sys.stderr)
            return


class Pulse(threading.Thread):
    """Notices by a gap in its beats that the session was stopped."""

    def __init__(self):
        super().__init__(daemon=True)
        self.done, self.stopped = threading.Event(), False
        self.start()

    def run(self):
        last = time.monotonic()
        while not self.done.wait(0.2):
            now = time.monotonic()
            self.stopped = self.stopped or now - last > 2
            last = now

    def end(self):
        self.done.set()
        self.join()
        return self.stopped


def window(measure):
    """What measure() returns: its result, and the share of waiting (1 where all stopped)."""
    wait_for_quiet()
    pulse = Pulse()
    try:
        result, waited = measure()
    finally:
        stopped = pulse.end()
    return result, 1.0 if stopped else waited


def quiet_window(measure):
    """The first window that was quiet enough; after TRIES the quietest."""
    best = None
    for _ in range(TRIES):
        result, waited = window(measure)
        if best is None or waited < best[1]:
            best = result, waited
        if waited <= MAX_WAIT:
            break
        print(f"  waited {100 * waited:.1f} % of the time: again", file=sys.stderr)
    return best


def log_line(path, row):
    print(json.dumps(row), file=sys.stderr)
    if path:
        with open(path, "a", encoding="utf-8") as f:
            f.write(json.dumps(row) + "\n")


def read_log(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def number(x):
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def spread(values):
    """median (least to greatest)"""
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"
