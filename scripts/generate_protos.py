"""Write the generated wire code beside the contract, or into --out to compare with it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grpc_tools import protoc

_ROOT = Path(__file__).resolve().parent.parent
_SOURCE = _ROOT / "protos"


def generate(out: Path) -> int:
    """Run protoc for every .proto file. Returns its exit status."""
    out.mkdir(parents=True, exist_ok=True)
    flags = [f"--{plugin}_out={out}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")]
    protos = sorted(str(path) for path in _SOURCE.glob("retrieval/v1/*.proto"))
    # The plugin of this interpreter's environment, whatever PATH says.
    mypy_plugins = [
        f"--plugin=protoc-gen-{name}={Path(sys.executable).parent / f'protoc-gen-{name}'}"
        for name in ("mypy", "mypy_grpc")
    ]
    include = protoc.__file__.replace("protoc.py", "_proto")
    status: int = protoc.main(
        ["protoc", f"-I{_SOURCE}", f"-I{include}", *mypy_plugins, *flags, *protos]
    )
    return status


def main() -> int:
    """Parse the command line and generate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=_SOURCE, help="folder (default: protos/)")
    return generate(parser.parse_args().out)


if __name__ == "__main__":
    sys.exit(main())
