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


def describe(program, can, pythons=None):
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
    }
    if pythons is not None:
        facts["PyTorch"] = ", ".join("%s (%s)" % (torch_of(p), p) for p in pythons) or "not installed: not compared"
    return facts
