#!/usr/bin/env python3
"""Holds the folders of src/ to their order: a file may include only its own folder and those below it.

The order is the one of docs/ARCHITECTURE.md. Tests lie beside the sources and obey the same rule. Exit status 1 and one
line per offending #include; 0 otherwise.
"""
import pathlib
import re
import sys

MAY_USE = {
    "base": set(),
    "io": {"base"},
    "quant": {"base"},
    "arch": {"base", "io", "quant"},
    "kernels": {"base", "quant"},
    "experts": {"base", "io", "quant", "arch"},
    "preflight": {"base", "io", "quant", "arch", "experts"},
    "model": {"base", "io", "quant", "arch", "kernels", "experts"},
    "text": {"base", "io"},
    "engine": {"base", "io", "quant", "arch", "kernels", "experts", "model", "text"},
}
BELOW_ENGINE = MAY_USE["engine"] | {"engine"}
MAY_USE["synth"] = {"base", "io", "quant", "arch", "experts"}
MAY_USE["roofline"] = {"base"}
MAY_USE["measure"] = BELOW_ENGINE | {"roofline", "synth"}
MAY_USE["convert"] = BELOW_ENGINE | {"synth"}
MAY_USE["server"] = BELOW_ENGINE
MAY_USE["tools"] = BELOW_ENGINE | {"convert", "server", "synth", "roofline", "measure", "preflight"}

INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"')


def main() -> int:
    root = pathlib.Path(__file__).resolve().parent.parent / "src"
    faults = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu"}:
            continue
        folder = path.relative_to(root).parts[0]
        if folder not in MAY_USE:
            faults.append(f"{path}: folder src/{folder} is not in the layer order")
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(1).split("/")[0]
            if target in {"mach", "support"} or target == folder:
                continue
            if target not in MAY_USE:
                faults.append(f"{path}:{number}: \"{match.group(1)}\" is not written from the include root")
            elif target not in MAY_USE[folder]:
                faults.append(f"{path}:{number}: src/{folder} may not include src/{target}")
    print("\n".join(faults) if faults else "include directions: ok")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
