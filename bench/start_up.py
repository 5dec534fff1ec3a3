#!/usr/bin/env python3
"""How long the commands that load no model take from fork to exit: start_up.py [BUILD_DIR] [RUNS].

Prints the quickest and the median run of each in milliseconds, and the time the processor spent (user + system). The
quickest run is the start-up itself; the median says what a busy machine makes of it.
"""
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def main() -> None:
    root = pathlib.Path(__file__).resolve().parent.parent
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else root / "build/release").resolve()
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 30
    demo = root / "models/mini-qwen3_moe-mlx-4bit"
    with tempfile.TemporaryDirectory() as home:
        environment = dict(os.environ, HOME=home, XDG_CACHE_HOME=home, HF_HOME=home, HF_HUB_CACHE=home, LME_CATALOG_URL="")
        for line in (["mach-archs"], ["mach-models", "--local-only"], ["mach-check", str(demo)],
                     ["mach-check", "--all-archs"]):
            command = [str(build / line[0])] + line[1:]
            wall, cpu = [], []
            for _ in range(runs):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                begin = time.perf_counter()
                subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
                wall.append(1e3 * (time.perf_counter() - begin))
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cpu.append(1e3 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
            name = " ".join([line[0]] + [word for word in line[1:] if word != str(demo)])
            print(f"{name:28} quickest {min(wall):6.1f} ms  median {statistics.median(wall):6.1f} ms  "
                  f"processor {statistics.median(cpu):6.1f} ms")


if __name__ == "__main__":
    main()
