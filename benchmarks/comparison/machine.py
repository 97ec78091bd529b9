"""The machine and the versions that a report is about."""
import json
import os
import platform
import re
import sys

from comparison.matrix import cores
from comparison.run import text_of, torch_of


def cpu():
    found = re.search(r"^Model name:\s*(.*)$", text_of(["lscpu"]), re.M)
    return found.group(1) if found else platform.processor()


def commit(program):
    """Of the sources that the program was built from."""
    about = json.loads(text_of([program, "bench", "comm", "--json", "--only", "barrier", "--repeats", "1"]) or "{}")
    return about.get("about", {}).get("version", "unknown")


def held_back(prefix):
    """What a kernel does to commands of real-time priority that take all they get, in words; "" if nothing."""
    try:
        with open("/proc/sys/kernel/sched_rt_runtime_us", encoding="ascii") as runtime, \
             open("/proc/sys/kernel/sched_rt_period_us", encoding="ascii") as period:
            share = int(runtime.read()) / int(period.read())
    except (OSError, ValueError):
        return ""
    if not re.search(r"\bchrt\b", prefix) or not 0 <= share < 1:
        return ""
    return "the kernel stops commands of real-time priority for %.0f %% of the time, all at once: steps take so much longer than their " \
           "parts; to let it be: sysctl kernel.sched_rt_runtime_us=-1" % (100 - 100 * share)  # newer kernels: only with RT_GROUP_SCHED


def describe(program, can, pythons=None, prefix=""):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    blas = re.search(r"^compute +(.*)$", can["info"], re.M)
    facts = {
        "processor": "%s, %d cores to use, %.1f GiB" % (cpu(), cores(), memory),
        "system": "%s, %s" % (text_of(["sh", "-c", ". /etc/os-release && echo $PRETTY_NAME"]), platform.release()),
        "seqpar": commit(program),
        "compute": blas.group(1) if blas else "",
        "messages": text_of(["mpirun", "--version"]).splitlines()[0] if can["mpi"] and text_of(["mpirun", "--version"]) else "",
        "charts": text_of(["gnuplot", "--version"]),
        "command line": " ".join(sys.argv),
        "prefix": prefix,
    }
    if held_back(prefix):
        facts["priority"] = held_back(prefix)
        print(held_back(prefix), file=sys.stderr)
    if pythons is not None:
        facts["PyTorch"] = ", ".join("%s (%s)" % (torch_of(p), p) for p in pythons) or "not installed: not compared"
    return facts
