"""Run as `python -m engine.worker.examine`: prints, as one JSON line, what models can run on."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import msgspec

from engine.child import answers_alone
from engine.health.machine import Gpu, Machine

_LIBRARIES = ("torch", "torchaudio")
_OPTIONAL = "transformers"  # one captioner's


def main() -> None:
    """Import the libraries one by one, look at the GPUs, print the answer."""
    answer = answers_alone()
    packages, faults = {}, {}
    optional = (_OPTIONAL,) if importlib.util.find_spec(_OPTIONAL) else ()
    for name in _LIBRARIES + optional:
        try:
            packages[name] = str(importlib.import_module(name).__version__)
        except Exception as error:  # a broken library may raise anything
            faults[name] = (
                f"{type(error).__name__}: {str(error).splitlines()[0] if error.args else ''}"
            )
    torch = sys.modules.get("torch") if "torch" in packages else None
    machine = Machine(
        packages=packages,
        faults=faults,
        cuda=(torch.version.cuda or "") if torch else "",
        gpus=_gpus(torch) if torch else (),
        threads=torch.get_num_threads() if torch else 0,
    )
    answer.write(msgspec.json.encode(machine) + b"\n")
    answer.close()


def _gpus(torch: ModuleType) -> tuple[Gpu, ...]:
    if not torch.cuda.is_available():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        free, total = torch.cuda.mem_get_info(index)
        # Natively from compute capability 8.0 on; older ones emulate it, slowly.
        bf16 = properties.major >= 8
        found.append(Gpu(name=properties.name, total=total, free=free, bf16=bf16))
    return tuple(found)


if __name__ == "__main__":
    main()
