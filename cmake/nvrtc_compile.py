"""Compiles a CUDA file for some architectures with NVRTC: no toolkit, driver or GPU is needed.

  python nvrtc_compile.py SOURCE OUT --include DIR --arch sm_80 --arch compute_90 [--depfile]
  python nvrtc_compile.py --find

writes OUT.sm_80.cubin, or OUT.compute_90.ptx, and beside it OUT.sm_80.log, what ptxas says of the
kernels; `--depfile` also OUT.sm_80.d, the headers that were read, for the build. `--find` prints
where NVRTC is, or nothing.
NVRTC comes from PyPI (nvidia-cuda-nvrtc-cu12) or from TF_PAIRWISE_NVRTC, the folder or file of
libnvrtc.so; the version is TensorFlow's own CUDA version, so that drivers from 525 on take what
it makes.
"""

import argparse
import ctypes
import importlib.util
import os
import pathlib
import re
import sys


def library():
    """The path of libnvrtc.so, or None."""
    named = os.environ.get("TF_PAIRWISE_NVRTC")
    if named:
        path = pathlib.Path(named)
        return next(iter(sorted(path.glob("libnvrtc.so*"))), None) if path.is_dir() else path
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations if spec else ():
        found = sorted(pathlib.Path(root).glob("cuda_nvrtc/lib/libnvrtc.so*"))
        if found:
            return found[0]
    return None


class Nvrtc:
    def __init__(self, path):
        for builtins in sorted(path.parent.glob("libnvrtc-builtins.so*")):
            ctypes.CDLL(str(builtins), ctypes.RTLD_GLOBAL)
        self.library = ctypes.CDLL(str(path))
        self.library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def call(self, name, *arguments):
        status = getattr(self.library, f"nvrtc{name}")(*arguments)
        if status != 0:
            raise RuntimeError(self.library.nvrtcGetErrorString(status).decode())

    def text(self, program, what):
        size = ctypes.c_size_t()
        self.call(f"Get{what}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self.call(f"Get{what}", program, buffer)
        return buffer.raw

    def compile(self, source, architecture, includes):
        """The code of a file, and the compiler's log; raises with that log."""
        program = ctypes.c_void_p()
        self.call(
            "CreateProgram",
            ctypes.byref(program),
            pathlib.Path(source).read_bytes(),
            os.fsencode(source),
            0,
            None,
            None,
        )
        options = [
            f"--gpu-architecture={architecture}",
            "--std=c++17",
            # Helpers without a mark are for the device.
            "--device-as-default-execution-space",
            "--ptxas-options=-v",
            *(f"--include-path={folder}" for folder in includes),
        ]
        array = (ctypes.c_char_p * len(options))(*map(os.fsencode, options))
        try:
            self.call("CompileProgram", program, len(options), array)
        except RuntimeError as error:
            log = self.text(program, "ProgramLog").rstrip(b"\0").decode()
            raise RuntimeError(f"{source}, {architecture}: {error}\n{log}") from error
        log = self.text(program, "ProgramLog").rstrip(b"\0").decode()
        return self.text(program, "CUBIN" if ending(architecture) == "cubin" else "PTX"), log


def ending(architecture):
    """cubin for sm_80; for compute_80 PTX, with the zero that the driver wants at its end."""
    return "cubin" if architecture.startswith("sm_") else "ptx"


def headers(source, includes):
    """The files that a file includes, and they in turn, as far as they are in the folders."""
    found, todo = [], [pathlib.Path(source)]
    while todo:
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', todo.pop().read_text(), re.M):
            paths = (pathlib.Path(folder) / name for folder in includes)
            path = next((path for path in paths if path.exists()), None)
            if path is not None and path not in found:
                found.append(path)
                todo.append(path)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--include", action="append", default=[])
    parser.add_argument("--arch", action="append", default=[])
    parser.add_argument("--depfile", action="store_true")
    parser.add_argument("--find", action="store_true")
    arguments = parser.parse_args()
    path = library()
    if arguments.find:
        print(path or "", end="")
        return 0
    if path is None:
        print("NVRTC not found: pip install nvidia-cuda-nvrtc-cu12", file=sys.stderr)
        return 1
    nvrtc = Nvrtc(path)
    for architecture in arguments.arch:
        try:
            code, log = nvrtc.compile(arguments.source, architecture, arguments.include)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
        warnings = [line for line in log.splitlines() if not line.startswith("ptxas  ")]
        warnings = [line for line in warnings if line.strip() and not line.startswith("ptxas info")]
        print("\n".join(warnings), end="\n" if warnings else "", file=sys.stderr)
        stem = f"{arguments.out}.{architecture}"
        out = pathlib.Path(f"{stem}.{ending(architecture)}")
        pathlib.Path(f"{stem}.log").write_text(log)
        if arguments.depfile:
            read = " ".join(map(str, headers(arguments.source, arguments.include)))
            pathlib.Path(f"{stem}.d").write_text(f"{out}: {read}\n")
        out.write_bytes(code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
