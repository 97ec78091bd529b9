"""Starting what is measured, one after the other, and keeping what it said."""
import contextlib
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(os.path.dirname(HERE), "peers")


def environment(**more):
    """This one's, without what holds OpenBLAS below what the processor can do."""
    names = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    names.update(more)
    return names


def limit_data(size):
    """Data that a process may have, so that one that wants too much does not take the machine's memory."""
    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (size, size)) if size else None


def machine_memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def read_lines(name):
    with open(name, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Runner:
    def __init__(self, program, pythons, prefix, timeout, keep, name="compare"):
        self.program, self.pythons, self.timeout, self.name = program, pythons, timeout, name
        self.keep = keep  # called with all records after each
        self.prefix = shlex.split(prefix)
        self.records = []

    def run(self, section, label, words, memory=0, lines=None, **variables):
        """Runs a command that prints one JSON object, or writes one a line to the file `lines`. The record has what it wrote, or why
        there is nothing."""
        command = self.prefix + words
        print("%s: %s: %s" % (self.name, section, label), file=sys.stderr, flush=True)
        begin = time.time()
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                                 env=environment(**variables), preexec_fn=limit_data(memory), start_new_session=True)
        try:
            out, err = child.communicate(timeout=self.timeout)
            status = child.returncode
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGTERM)
            out, err = child.communicate()
            status, err = 124, "not ended after %d s" % self.timeout
        record = dict(section=section, label=label, command=" ".join(shlex.quote(w) for w in command), status=status,
                      seconds=round(time.time() - begin, 1), result=None, error="")
        try:
            record["result"] = read_lines(lines) if lines else json.loads(out)
        except (ValueError, OSError):
            record["error"] = (err.strip().splitlines() or ["nothing was printed"])[-1][:300]
        if status and not record["error"]:
            record["error"] = (err.strip().splitlines() or ["exit status %d" % status])[-1][:300]
        if isinstance(record["result"], dict) and "skipped" in record["result"]:
            record["error"], record["result"] = "skipped: " + record["result"]["skipped"], None
        self.records.append(record)
        self.keep(self.records)
        return record

    @contextlib.contextmanager
    def without_prefix(self):
        """For what is not timed: it may let other programs run."""
        prefix, self.prefix = self.prefix, []
        try:
            yield
        finally:
            self.prefix = prefix

    def seqpar(self, section, label, part, words, ranks=1):
        """seqpar bench PART on as many ranks of this machine."""
        launch = ["launch", "-n", str(ranks), "--"] if ranks > 1 else []
        return self.run(section, label, [self.program] + launch + ["bench", part, "--json"] + words)

    def peer(self, section, label, python, script, threads, words, memory=0):
        # PyTorch's own allocator is refused what is left of the machine rather than given all of it.
        memory = memory or machine_memory() * 17 // 20
        return self.run(section, label, [python, os.path.join(PEERS, script), "--threads", str(threads)] + words,
                        memory=memory, OMP_NUM_THREADS=str(threads))


def text_of(command):
    try:
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=60,
                              env=environment()).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def torch_of(python):
    """The version of PyTorch of an interpreter, or ""."""
    return text_of([python, "-c", "import torch; print(torch.__version__)"])
