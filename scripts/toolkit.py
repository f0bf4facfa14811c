#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Two parts of scripts/toolkit.

toolkit.py driver: prints "good ..." if libcuda.so.1 runs what CUDA 13.0's toolkit makes, on a GPU that our kernels are for;
"bad ..." if there is a driver and it does not; nothing if there is none. A driver may take for ever to answer.
toolkit.py unpack FOLDER WHEEL...: a CUDA_HOME out of NVIDIA's wheels: bin, include, lib, nvvm, and licenses."""
import ctypes
import os
import sys
import zipfile

CUDA = 13000  # oldest driver, as cuDriverGetVersion() counts
CAPABILITY = 75
NO_DEVICE = 100


def call(library, name, *args):
    error = getattr(library, name)(*args)
    if error != 0:
        raise OSError(f"{name}() fails with error {error}")


def number(library, name, *args):
    value = ctypes.c_int()
    call(library, name, ctypes.byref(value), *args)
    return value.value


def driver():
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ""
    try:
        version = number(cuda, "cuDriverGetVersion")
        if version < CUDA:
            return f"bad the NVIDIA driver is for CUDA {version // 1000}.{version % 1000 // 10}, expected 13.0, which is driver 580, or newer"
        error = cuda.cuInit(0)
        if error == NO_DEVICE or error == 0 and number(cuda, "cuDeviceGetCount") == 0:
            return "bad an NVIDIA driver is installed and finds no GPU"
        if error != 0:
            return f"bad the NVIDIA driver can't be started: cuInit() fails with error {error}; see what nvidia-smi says"
        device = number(cuda, "cuDeviceGet", 0)
        name = ctypes.create_string_buffer(128)
        call(cuda, "cuDeviceGetName", name, len(name), device)
        major, minor = (number(cuda, "cuDeviceGetAttribute", i, device) for i in (75, 76))
    except (OSError, AttributeError) as problem:
        return f"bad the NVIDIA driver can't be used: {problem}"
    gpu = name.value.decode(errors="replace")
    if major * 10 + minor < CAPABILITY:
        return f"bad {gpu} has compute capability {major}.{minor}, expected 7.5 or newer"
    return f"good {gpu} is there (driver for CUDA {version // 1000}.{version % 1000 // 10})"


def target(name, package):
    """Where a member of a wheel goes, or None. Each keeps its files in nvidia/<something>."""
    parts = name.split("/")
    if parts[0].endswith(".dist-info"):
        return f"licenses/{package}.txt" if len(parts) == 3 and parts[1] == "licenses" else None
    if parts[0] != "nvidia" or len(parts) < 4 or ".." in parts:
        return None
    return "/".join(parts[2:])


def unpack(folder, wheels):
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.infolist():
                to = target(member.filename, os.path.basename(wheel).split("-")[0])
                if to is None or member.is_dir():
                    continue
                path = os.path.join(folder, to)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as made:
                    while block := source.read(1 << 20):
                        made.write(block)
                # programs are its owner's alone in some of them
                os.chmod(path, 0o755 if to.startswith(("bin/", "nvvm/bin/")) or member.external_attr >> 16 & 0o100 else 0o644)
    # where nvcc and others look for libraries
    if not os.path.lexists(os.path.join(folder, "lib64")):
        os.symlink("lib", os.path.join(folder, "lib64"))


def main():
    if sys.argv[1:] == ["driver"]:
        print(driver())
    elif sys.argv[1:2] == ["unpack"] and len(sys.argv) > 3:
        unpack(sys.argv[2], sys.argv[3:])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


sys.exit(main())
