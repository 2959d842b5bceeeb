"""The process that reads other people's pickles, so that ours never does.

Run by `read_published.py` beside it as a script of its own, never imported by it. Whoever publishes a .pth file
decides what is in it. So it is looked through before it is read, read by torch's restricted unpickler alone, within
limits of memory and time, in a process that holds nothing worth taking; what comes out is plain numbers in a
safetensors file. The dictionaries of arrays that numpy.save pickles are read too, and so are the numbers of numpy that
training leaves beside weights; nothing of numpy is made of them. A safetensors file holds no program, but numbers of
any kind: it takes the same way and the same checks.

    python -I unpickle.py OUTPUT MEMORY SECONDS < FILE
"""

import io
import json
import pickle
import pickletools
import re
import resource
import sys
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:  # torch is imported once the file has been looked through
    from torch import Tensor

MOST_INSTRUCTIONS = 500_000
"""Instructions in all pickles of a file. A tensor takes 35 of them; a whole CycleGAN with its optimizers 20,000."""
MOST_PICKLE_BYTES = 8 * 2**20
MOST_ENTRIES = 20_000
"""Files in an archive; one per tensor."""
MOST_TENSORS = 10_000
LEGACY_PICKLES = 5
"""Magic number, protocol, system, the state itself, keys of the storages; then come the numbers."""
NUMBERS = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
NUMPY = b"\x93NUMPY"
"""What a file of numpy.save begins with."""
CLUSTERS = "clusters"
"""What the arrays of such a file are handed over as: tensors by class, as if of a network of this name."""


class Refused(Exception):
    """The file is not what it should be; the message says how."""


def main() -> None:
    """Read stdin, write the tensors to OUTPUT, and print what was found, or why nothing was, as one line of JSON."""
    output, memory, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (memory, memory))
    try:
        with open(0, "rb", closefd=False) as stream:
            look_through(stream)
            import torch  # noqa: F401 (its own memory does not count against the file's)

            limit_memory(memory)
            networks = networks_in(stream)
        save(networks, output)
        answer = {"networks": {name: len(tensors) for name, tensors in networks.items()}}
    except Refused as error:
        answer = {"refused": str(error)}
    except (MemoryError, RuntimeError) as error:
        if not of_memory(error):
            raise
        answer = {"refused": "would take more memory than a file of its size has any use for"}
    print(json.dumps(answer))


def of_memory(error: BaseException) -> bool:
    """Whether it says that memory ran out; torch does so by a RuntimeError."""
    return isinstance(error, MemoryError) or "alloc" in str(error)


def limit_memory(more: int) -> None:
    """From now on, allow `more` bytes on top of the address space in use."""
    with open("/proc/self/statm", encoding="ascii") as handle:
        used = int(handle.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))


def networks_in(stream: BinaryIO) -> "dict[str, dict[str, Tensor]]":
    """All state dicts of a file that has been looked through, by their names in it; "" for its only one."""
    if begins_with(stream, NUMPY):
        return clusters_in(load_array(stream))
    return tensors_in(load_safetensors(stream) if is_safetensors(stream) else load(stream))


def look_through(stream: BinaryIO) -> None:
    """Refuse what cannot be a state dict, without unpickling or unpacking anything."""
    if begins_with(stream, b"PK\x03\x04"):
        look_through_archive(stream)
    elif is_safetensors(stream):
        return  # its own reader checks all that its header says
    elif begins_with(stream, b"\x80"):
        look_through_pickles(stream)
    elif begins_with(stream, NUMPY):
        skip_header(stream)
        count_instructions(stream, MOST_INSTRUCTIONS)
    else:
        raise Refused("is no file of torch.save, and none of safetensors")


def is_safetensors(stream: BinaryIO) -> bool:
    """Whether the file begins with the length of a header of JSON, and that header; it is at its beginning afterwards.

    A pickle's first eight bytes, read as a length, are far beyond any file.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    start = stream.read(9)
    stream.seek(0)
    return len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") <= size - 8


def begins_with(stream: BinaryIO, start: bytes) -> bool:
    """Whether the file does; it is at its beginning afterwards."""
    stream.seek(0)
    found = stream.read(len(start))
    stream.seek(0)
    return found == start


def look_through_archive(stream: BinaryIO) -> None:
    """torch.save since version 1.6: a zip archive of stored, never compressed, files."""
    try:
        archive = zipfile.ZipFile(stream)
        entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, RuntimeError, OverflowError) as error:
        raise Refused(f"is a damaged archive ({error})") from error
    if len(entries) > MOST_ENTRIES:
        raise Refused(f"is an archive of {len(entries)} files; a state dict has one per tensor")
    names = [entry.filename for entry in entries]
    if len(set(names)) < len(names):
        raise Refused("is an archive that holds two files of one name")
    if any(name.endswith("/constants.pkl") for name in names):
        raise Refused("is a TorchScript program, not a state dict")
    if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
        raise Refused("is a compressed archive, which torch.save never writes")
    size = stream.seek(0, io.SEEK_END)
    if sum(entry.file_size for entry in entries) > size:
        raise Refused("is an archive that claims to hold more than its own size")
    pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
    if len(pickles) != 1:
        raise Refused("is an archive without a state dict")
    if pickles[0].file_size > MOST_PICKLE_BYTES:
        raise Refused(f"describes its tensors in {pickles[0].file_size} bytes, which no state dict takes")
    try:
        content = archive.read(pickles[0])
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, RuntimeError) as error:
        raise Refused(f"is a damaged archive ({error})") from error
    count_instructions(io.BytesIO(content), MOST_INSTRUCTIONS)


def look_through_pickles(stream: BinaryIO) -> None:
    """torch.save before version 1.6: pickles one after the other, then the numbers."""
    left = MOST_INSTRUCTIONS
    for _ in range(LEGACY_PICKLES):
        left -= count_instructions(stream, left)


def count_instructions(stream: BinaryIO, most: int) -> int:
    """Instructions of the next pickle in `stream`; they are read, none is carried out."""
    count, begin = 0, stream.tell()
    try:
        for _ in pickletools.genops(stream):
            count += 1
            if count > most or stream.tell() - begin > MOST_PICKLE_BYTES:
                raise Refused("is a pickle of more instructions than any state dict has")
    except (ValueError, IndexError, OverflowError, UnicodeDecodeError) as error:
        raise Refused(f"is cut short or damaged ({error})") from error
    return count


def load_safetensors(stream: BinaryIO) -> Any:
    """The tensors of a safetensors file, by name."""
    from safetensors import SafetensorError
    from safetensors.torch import load as load_tensors

    stream.seek(0)
    try:
        return load_tensors(stream.read())
    except (SafetensorError, KeyError) as error:  # a KeyError is a type of number that torch has not got
        raise Refused(f"is cut short or damaged ({str(error)[:160]})") from error


def load(stream: BinaryIO) -> Any:
    """Unpickle tensors and plain containers, and stand-ins for numpy's objects; nothing else."""
    import argparse

    import torch

    stream.seek(0)
    # A namespace of plain values: some authors keep their command line's arguments beside the weights. And numbers of
    # numpy: the best score so far. What stands in for them only keeps what it is made of.
    stand_ins = [(stand_in, ".".join(name)) for name, stand_in in BESIDE_WEIGHTS.items()]
    with torch.serialization.safe_globals([argparse.Namespace, *stand_ins]):
        try:
            return torch.load(stream, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise Refused(reason(str(error))) from error
        except Exception as error:
            if of_memory(error):
                raise
            raise Refused(f"is cut short or damaged ({reason(str(error) or type(error).__name__)})") from error


def reason(message: str) -> str:
    """What torch found, in a few words. Its own advice, to unpickle without restriction, is not passed on."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    if found:
        return (
            f"holds more than tensors ({found.group(1)[:80]}), which could run code and is not read; ask its authors "
            "for the state_dict alone"
        )
    return message.split(". ")[-1 if "WeightsUnpickler" in message else 0].splitlines()[0][:160]


# --- numpy's objects, and dictionaries of arrays as numpy.save writes them --------------------------------------------


class Stored:
    """What stands for an object of numpy while it is unpickled: it keeps what it is made of, and makes nothing."""

    made_of: tuple[Any, ...] = ()
    state: Any = ()

    def __init__(self, *made_of: Any) -> None:
        self.made_of = made_of

    def __setstate__(self, state: Any) -> None:
        self.state = state


class StoredArray(Stored):
    """State: version, shape, StoredType, whether in Fortran's order, and the numbers: bytes or, of objects, a list."""


class StoredType(Stored):
    """Made of a code such as "f8"; the state's second entry is the order of bytes."""


class StoredNumber(Stored):
    """Made of a StoredType and the bytes of one number."""


def latin_bytes(text: str, encoding: str) -> bytes:
    """Bytes, which Python 3 writes as text where it writes for Python 2."""
    if encoding != "latin1":
        raise Refused("is cut short or damaged (bytes that are not bytes)")
    return text.encode("latin-1")


STANDS_FOR: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): StoredArray,
    ("numpy", "dtype"): StoredType,
    ("numpy.core.multiarray", "_reconstruct"): StoredArray,
    ("numpy._core.multiarray", "_reconstruct"): StoredArray,
    ("_codecs", "encode"): latin_bytes,
}
BESIDE_WEIGHTS = STANDS_FOR | {
    ("numpy.core.multiarray", "scalar"): StoredNumber,
    ("numpy._core.multiarray", "scalar"): StoredNumber,
}
"""What may stand beside tensors, too: a training's best score."""


class ArrayUnpickler(pickle.Unpickler):
    """Finds the stand-ins, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STANDS_FOR:
            raise Refused(f"holds more than arrays ({module}.{name})"[:100] + ", which could run code and is not read")
        return STANDS_FOR[module, name]


def skip_header(stream: BinaryIO) -> None:
    """Go to where the pickle of a single object begins; whatever else numpy.save writes is refused."""
    stream.seek(len(NUMPY))
    version = stream.read(2)
    length = int.from_bytes(stream.read(2 if version == b"\x01\x00" else 4), "little")
    header = stream.read(min(length, 10_000))
    if not (re.search(rb"'descr': *'\|O'", header) and re.search(rb"'shape': *\(\)", header)):
        raise Refused("is an array of numpy.save, expected a dictionary of arrays, one of clusters for each class")


def load_array(stream: BinaryIO) -> Any:
    """Unpickle what follows the header, with stand-ins for all objects."""
    skip_header(stream)
    try:
        # Python 2 wrote bytes as what Python 3 takes for text.
        return ArrayUnpickler(stream, encoding="latin-1").load()
    except Refused:
        raise
    except Exception as error:
        if of_memory(error):
            raise
        raise Refused(f"is cut short or damaged ({str(error)[:160] or type(error).__name__})") from error


def clusters_in(content: Any) -> "dict[str, dict[str, Tensor]]":
    """Centres of clusters (K, F) by class, out of a dictionary {class: array}, checked."""
    held = content.state[4] if isinstance(content, StoredArray) and len(content.state) == 5 else None
    if not (isinstance(held, list) and len(held) == 1 and isinstance(held[0], dict)):
        raise Refused("holds no dictionary of arrays")
    clusters = {}
    for label, array in held[0].items():
        if type(label) is not int or not 0 <= label < 255:
            raise Refused(f"holds clusters of {str(label)[:40]!r}; expected numbers of classes")
        clusters[str(label)] = numbers_of(label, array)
    check({CLUSTERS: clusters})
    return {CLUSTERS: clusters}


def numbers_of(label: int, array: Any) -> "Tensor":
    """A table of floating-point numbers out of what is stored of it."""
    import numpy
    import torch

    try:
        _, (rows, columns), kind, fortran, numbers = array.state
        (code, *_), order = kind.made_of, kind.state[1]
        if code not in ("f2", "f4", "f8") or order not in ("<", ">", "=") or min(rows, columns) < 0:
            raise ValueError
        flat = numpy.frombuffer(numbers.encode("latin-1") if isinstance(numbers, str) else numbers, order + code)
        with numpy.errstate(over="ignore"):  # what is too large becomes infinite, which is refused
            table = flat.reshape(rows, columns, order="F" if fortran else "C").astype(numpy.float32)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise Refused(f"holds no table of floating-point numbers for class {label}") from error
    return torch.from_numpy(table.copy())


# --- what is handed over ----------------------------------------------------------------------------------------------


def tensors_in(content: Any) -> "dict[str, dict[str, Tensor]]":
    """The state dicts in what was unpickled, checked: {"": state} or one per network, by its key.

    Numbers and vectors beside state dicts, such as the best score so far, are no network.
    """
    import torch

    if not isinstance(content, dict):
        raise Refused(f"holds a {type(content).__name__}, expected a state dict")
    dimensions = [value.ndim for value in content.values() if isinstance(value, torch.Tensor)]
    within = {
        key: value
        for key, value in content.items()
        if isinstance(key, str)
        and isinstance(value, dict)
        and any(isinstance(one, torch.Tensor) for one in value.values())
    }
    networks = within if within and max(dimensions, default=0) < 2 else {"": content}
    networks = {
        name: {key: one for key, one in state.items() if isinstance(one, torch.Tensor)}
        for name, state in networks.items()
    }
    check(networks)
    return networks


def check(networks: "dict[str, dict[str, Tensor]]") -> None:
    """Refuse tensors that are no plain finite numbers, or that claim more memory than the file gave them."""
    named = list(every_tensor(networks))
    if not named:
        raise Refused("holds no tensors")
    if len(named) > MOST_TENSORS:
        raise Refused(f"holds {len(named)} tensors")
    for name, one in named:
        if str(one.layout) != "torch.strided" or one.is_quantized or one.device.type != "cpu":
            raise Refused(f"holds {name!r}, which is sparse, quantised or without numbers; expected plain tensors")
        if str(one.dtype).removeprefix("torch.") not in NUMBERS:
            raise Refused(f"holds {name!r} of type {one.dtype}; expected one of {', '.join(NUMBERS)}")
        if one.numel() * one.element_size() > one.untyped_storage().nbytes():
            raise Refused(f"holds {name!r}, which claims more numbers than there are")
        if one.is_floating_point() and not one.isfinite().all():
            raise Refused(f"holds {name!r}, in which there are values that are no numbers")


def every_tensor(networks: "dict[str, dict[str, Tensor]]") -> "Iterator[tuple[str, Tensor]]":
    """Name and tensor, names checked."""
    for network, state in networks.items():
        for key, one in state.items():
            if not isinstance(key, str) or len(key) > 300 or not re.fullmatch(r"[\w.\-]+", key):
                raise Refused(f"holds a tensor called {str(key)[:40]!r}")
            if not re.fullmatch(r"[\w.\-]{0,100}", network):
                raise Refused(f"holds a network called {network[:40]!r}")
            yield f"{network}/{key}" if network else key, one


def save(networks: "dict[str, dict[str, Tensor]]", output: str) -> None:
    """Write "network/key" -> tensor; floating-point numbers in single precision."""
    import torch
    from safetensors.torch import save_file

    tensors = {}
    for name, one in every_tensor(networks):
        plain = one.detach().to(torch.float32) if one.is_floating_point() else one.detach().to(torch.int64)
        tensors[name] = plain.clone(memory_format=torch.contiguous_format)
    save_file(tensors, output)


if __name__ == "__main__":
    main()
