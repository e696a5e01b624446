"""What a Python object depends on, as one hash: code, defaults, closures, globals, weights. What cannot be known has no hash."""

from __future__ import annotations

import functools
import hashlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lightning_gen.metrics.extractors.dependencies import MISSING, Unidentified, names_of, read_by, refuse_memory
from lightning_gen.metrics.extractors.installed import PYTHON, is_installed, version_of

LARGEST = 1_000_000
"""Objects that are looked at; whatever depends on more has no identity."""

PLAIN = (bool, int, float, complex, str, bytes, range, type(None), type(Ellipsis), type(NotImplemented), torch.dtype, torch.device)
"""Types whose text is their content."""


def identity_of(thing: Any) -> str:
    """SHA-256 of all that an object depends on: the same in another process, another one as soon as any of it changes.

    Covered are a function's bytecode, defaults and closure, and the globals that it names, those of the functions of a user's modules
    likewise; the class, attributes, parameters and buffers of a module; arrays, tensors and plain containers by content. What is installed
    counts by name and version. Files that are read, the environment and global random numbers are not seen.

    Raises:
        Unidentified: something of it has no content that can be hashed.
    """
    try:
        return _Hasher().of(thing).hex()
    except RecursionError as error:
        raise Unidentified("it is nested too deeply") from error


class _Hasher:
    """Hashes of objects, each of which is looked at once."""

    def __init__(self) -> None:
        self.known: dict[int, bytes] = {}
        self.entered: list[int] = []
        self.alive: list[Any] = []  # an address is an object's name only while the object lives

    def of(self, thing: Any) -> bytes:
        if type(thing) in PLAIN or isinstance(thing, torch.dtype | np.dtype):
            return _hash("plain", type(thing).__qualname__, repr(thing))
        if id(thing) in self.known:
            return self.known[id(thing)]
        if id(thing) in self.entered:
            return _hash("again", str(self.entered.index(id(thing))))
        self.alive.append(thing)
        if len(self.alive) > LARGEST:
            raise Unidentified(f"it depends on more than {LARGEST} objects")
        self.entered.append(id(thing))
        found = _hash(*self.parts(thing))
        self.entered.pop()
        self.known[id(thing)] = found
        return found

    def parts(self, thing: Any) -> Iterator[str | bytes]:
        """What makes the hash of an object, beginning with its kind."""
        kinds = (kind for kind in KINDS if isinstance(thing, kind))
        yield from KINDS[next(kinds, object)](self, thing)

    def all(self, things: Iterable[Any]) -> Iterator[bytes]:
        return (self.of(thing) for thing in things)


def _hash(*parts: str | bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)
    return digest.digest()


# Content.


def _tensor(hasher: _Hasher, tensor: Tensor) -> Iterator[str | bytes]:
    try:
        content = tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        raise Unidentified(f"a tensor of layout {tensor.layout} on {tensor.device} has no bytes") from error
    yield from ("tensor", str(tensor.dtype), str(list(tensor.shape)), content)


def _array(hasher: _Hasher, array: np.ndarray) -> Iterator[str | bytes]:
    yield from ("array", repr(array.dtype), str(array.shape))
    yield hasher.of(array.tolist()) if array.dtype.hasobject else np.ascontiguousarray(array).tobytes()


def _sequence(hasher: _Hasher, items: tuple | list) -> Iterator[str | bytes]:
    yield from ("sequence", hasher.of(type(items)))
    yield from hasher.all(items)


def _mapping(hasher: _Hasher, items: dict | MappingProxyType) -> Iterator[str | bytes]:
    yield from ("mapping", hasher.of(type(items)))
    for key, value in items.items():
        yield from (hasher.of(key), hasher.of(value))


def _set(hasher: _Hasher, items: set | frozenset) -> Iterator[str | bytes]:
    # The order of a set of words is another one in every process.
    yield from ("set", hasher.of(type(items)))
    yield from sorted(hasher.all(items))


def _module(hasher: _Hasher, network: nn.Module) -> Iterator[str | bytes]:
    """A network with its hooks; ``__dict__`` holds its parameters, buffers and parts, too."""
    yield from ("network", hasher.of(type(network)), hasher.of(vars(network)))


def _script(hasher: _Hasher, network: Any) -> Iterator[str | bytes]:
    """A TorchScript network is what would be written to its file, without what only helps to debug it."""
    buffer = io.BytesIO()
    torch.jit.save(network, buffer)
    with zipfile.ZipFile(buffer) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith((".debug_pkl", "serialization_id")):
                yield from (name, archive.read(name))


def _object(hasher: _Hasher, thing: Any) -> Iterator[str | bytes]:
    """Anything else: its class and what its copy would be made of."""
    try:
        made_of = thing.__reduce_ex__(4)
    except Exception as error:  # a user's object may raise anything here
        raise Unidentified(f"{type(thing).__name__} cannot be hashed") from error
    yield from ("object", hasher.of(type(thing)))
    if isinstance(made_of, str):
        yield from (str(getattr(thing, "__module__", "")), made_of)
        return
    for part in made_of:
        yield hasher.of([*part] if isinstance(part, Iterator) else part)


# Code.


def _code(hasher: _Hasher, code: CodeType) -> Iterator[str | bytes]:
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    yield from ("code", PYTHON, repr(counts), repr(names), code.co_code, code.co_exceptiontable)
    yield from hasher.all(code.co_consts)


def _function(hasher: _Hasher, function: FunctionType) -> Iterator[str | bytes]:
    home = sys.modules.get(function.__globals__.get("__name__", ""))
    yield "function"
    yield from hasher.all((function.__code__, function.__defaults__, function.__kwdefaults__, function.__dict__))
    yield from hasher.all(function.__closure__ or ())
    if home is not None and is_installed(home):
        yield _version(home)
        return
    refuse_memory(function)
    names = names_of(function.__code__)
    # A module's attribute is named like a global: both are among the names of the code.
    for name, value in read_by(function):
        yield from (name, "missing" if value is MISSING else hasher.of(value))
        if isinstance(value, ModuleType) and not is_installed(value):
            yield from _attributes(hasher, value, names)


def _attributes(hasher: _Hasher, module: ModuleType, names: list[str]) -> Iterator[str | bytes]:
    """What a function can read from a module of the user's, and from the modules in it."""
    for name in names:
        if name not in vars(module):
            continue
        value = vars(module)[name]
        yield from (name, hasher.of(value))
        if isinstance(value, ModuleType) and value is not module and not is_installed(value):
            yield from _attributes(hasher, value, [other for other in names if other != name])


def _cell(hasher: _Hasher, cell: CellType) -> Iterator[str | bytes]:
    try:
        yield from ("cell", hasher.of(cell.cell_contents))
    except ValueError:  # not filled yet
        yield "empty cell"


def _method(hasher: _Hasher, method: MethodType) -> Iterator[str | bytes]:
    yield from ("method", hasher.of(method.__func__), hasher.of(method.__self__))


def _builtin(hasher: _Hasher, function: Any) -> Iterator[str | bytes]:
    """A function that is not written in Python: of a module, or of an object."""
    owner = getattr(function, "__self__", None)
    yield from ("builtin", function.__qualname__, hasher.of(owner))
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    yield "" if module is None else _version(module)


def _class(hasher: _Hasher, cls: type) -> Iterator[str | bytes]:
    """A class by name and version, and, where it is a user's, with all its methods and bases."""
    module = sys.modules.get(cls.__module__)
    yield from ("class", cls.__qualname__)
    if module is not None and is_installed(module):
        yield _version(module)
        return
    yield from hasher.all(cls.__bases__)
    for name, value in vars(cls).items():
        if name not in ("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__static_attributes__", "_abc_impl"):
            yield from (name, hasher.of(value))


def _wrapper(hasher: _Hasher, wrapper: Any) -> Iterator[str | bytes]:
    yield from (type(wrapper).__name__, hasher.of(wrapper.__func__))


def _property(hasher: _Hasher, found: property) -> Iterator[str | bytes]:
    yield "property"
    yield from hasher.all((found.fget, found.fset, found.fdel))


def _slot(hasher: _Hasher, slot: Any) -> Iterator[str | bytes]:
    yield from ("slot", slot.__qualname__)


def _cached(hasher: _Hasher, function: Any) -> Iterator[str | bytes]:
    yield from ("cached", hasher.of(function.__wrapped__))


def _imported(hasher: _Hasher, module: ModuleType) -> Iterator[str | bytes]:
    yield from ("module", _version(module) if is_installed(module) else module.__name__)


def _version(module: ModuleType) -> str:
    found = version_of(module)
    if found is None:
        raise Unidentified(f"module {module.__name__} has no version")
    return found


KINDS: dict[Any, Callable[[_Hasher, Any], Iterator[str | bytes]]] = {
    Tensor: _tensor,
    np.ndarray: _array,
    torch.jit.ScriptModule: _script,
    nn.Module: _module,
    tuple: _sequence,
    list: _sequence,
    dict: _mapping,
    MappingProxyType: _mapping,
    set: _set,
    frozenset: _set,
    CodeType: _code,
    FunctionType: _function,
    MethodType: _method,
    CellType: _cell,
    type: _class,
    ModuleType: _imported,
    BuiltinFunctionType: _builtin,
    staticmethod: _wrapper,
    classmethod: _wrapper,
    property: _property,
    functools._lru_cache_wrapper: _cached,
    MemberDescriptorType: _slot,
    GetSetDescriptorType: _slot,
    object: _object,
}
"""How objects of a class are hashed, the first that fits."""
