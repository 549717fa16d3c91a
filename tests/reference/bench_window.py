"""What the side-by-side benchmarks share: measuring while nobody else computes, and the log.

A machine is seldom alone. While a window lasts, this session's share of the processors is
raised as far as the kernel allows (sched(7), autogroup; needs root, else nothing happens). The
kernel counts how long a measured thread was ready to run and had to wait (schedstat); a window
in which that was more than MAX_WAIT of the time is thrown away and tried again.
"""
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time

MAX_WAIT = 0.03
TRIES = 6
PAUSE = 5  # seconds between windows, for the others


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


@contextlib.contextmanager
def raised_session():
    try:
        with open("/proc/self/autogroup", encoding="ascii") as f:
            before = f.read().split()[-1]
        with open("/proc/self/autogroup", "w", encoding="ascii") as f:
            f.write("-20")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        with open("/proc/self/autogroup", "w", encoding="ascii") as f:
            f.write(before)


def window(measure):
    """What measure() returns: its result, and the share of waiting."""
    with raised_session():
        return measure()


def quiet_window(measure):
    """The first window that was quiet enough; after TRIES the quietest."""
    best = None
    for _ in range(TRIES):
        time.sleep(PAUSE)
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


def spread(values):
    """median (least to greatest)"""
    return (f"{statistics.median(values):.4g} "
            f"({min(values):.4g} to {max(values):.4g})")
