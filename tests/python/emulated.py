"""Runs the tests that compare with another library as other processors would: `make test-emulated`.

Each environment makes libraries take the code that they have for a lesser processor, and runs what compares with them.
Random examples are the same in each, so that what differs is the environment's doing. Names choose among them.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

TORCH = ("mix", "places", "torch_native", "transforms")
NUMPY = ("places", "transforms")
JPEG = ("images", "transforms")
JAX = ("batch",)
ALL = ("batch", "images", *TORCH)
COMPARING = "torchvision or pillow or turbo or jpeg or dtypes or casts or expands"

NO_AVX = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "MKL_CBWR": "COMPATIBLE",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
    "OPENBLAS_CORETYPE": "Nehalem",
    "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL AVX512_SPR",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA",
    "JSIMD_FORCENONE": "1",
    "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2",
}
ONE_THREAD, TWO_THREADS = (
    dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads) for threads in "12"
)
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "OPENBLAS_CORETYPE": "Zen",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}

# What of each library is tried alone, and by which tests.
ALONE = [
    ("ATEN_CPU_CAPABILITY", ("default", "avx2"), TORCH),
    ("MKL_ENABLE_INSTRUCTIONS", ("SSE4_2", "AVX2"), TORCH),
    ("MKL_CBWR", ("COMPATIBLE",), TORCH),
    ("ONEDNN_MAX_CPU_ISA", ("SSE41", "AVX2"), TORCH),
    ("OPENBLAS_CORETYPE", ("Nehalem", "Haswell", "Zen"), NUMPY),
    ("NPY_DISABLE_CPU_FEATURES", (NO_AVX["NPY_DISABLE_CPU_FEATURES"],), NUMPY),
    ("GLIBC_TUNABLES", (NO_AVX["GLIBC_TUNABLES"],), ALL),
    ("JSIMD_FORCENONE", ("1",), JPEG),
    ("JSIMD_FORCESSE2", ("1",), JPEG),
    ("XLA_FLAGS", tuple(f"--xla_cpu_max_isa={isa}" for isa in ("SSE4_2", "AVX", "AVX2")), JAX),
]

ENVIRONMENTS = {
    "this processor": ({}, ALL),
    "no AVX, 1 thread": (NO_AVX | ONE_THREAD, ALL),
    "no AVX, 2 threads": (NO_AVX | TWO_THREADS, ALL),
    "AVX2, 1 thread": (AVX2 | ONE_THREAD, ALL),
    "AVX2, 2 threads": (AVX2 | TWO_THREADS, ALL),
    "1 thread": (ONE_THREAD, TORCH),
    "2 threads": (TWO_THREADS, TORCH),
    **{f"{name}={value}": ({name: value}, files) for name, values, files in ALONE for value in values},
}


def passes(name: str) -> bool:
    """Runs the tests of an environment, and prints how that ended."""
    environment, files = ENVIRONMENTS[name]
    began = time.monotonic()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--no-header", "--hypothesis-seed=0", "--timeout=600"),
            *("-k", COMPARING),
            *(f"tests/python/test_{file}.py" for file in files),
        ],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    # What libraries print at exit comes after it.
    summary = re.findall(r"(?m)^\d+ (?:passed|failed).*$", done.stdout)
    sys.stdout.write(f"{name:50} {time.monotonic() - began:5.0f} s  {summary[-1] if summary else 'no summary'}\n")
    if done.returncode:
        sys.stdout.write(done.stdout)
    sys.stdout.flush()
    return done.returncode == 0


if __name__ == "__main__":
    failed = [name for name in sys.argv[1:] or ENVIRONMENTS if not passes(name)]
    sys.exit(len(failed))
