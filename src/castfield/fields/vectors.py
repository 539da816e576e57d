"""Vectors of floats as values in Numba's kernels: what fits into registers stays there, whatever else the compiler makes of a loop.

A vector's length is part of its type, so a kernel is compiled for the field's own numbers of channels and units. Memory is named by a
C-contiguous array of float32, or by the address of one, and an offset in floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, overload, register_model

intrinsic: Callable[..., Any] = extending.intrinsic
FUSED = ("contract", "nsz")
"""A product and a sum may become one instruction."""


class Vector(types.Type):
    """So many float32."""

    def __init__(self, length: int) -> None:
        self.length = length
        super().__init__(name=f"Vector({length})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.FloatType(), kind.length))


def _pointer(context: Any, builder: Any, kinds: Any, values: Any, to: Any) -> Any:
    """Where `offset` floats after `base` lie."""
    base, offset = values
    if isinstance(kinds[0], types.Array):
        base = builder.ptrtoint(context.make_array(kinds[0])(context, builder, base).data, offset.type)
    return builder.inttoptr(builder.add(base, builder.mul(offset, ir.Constant(offset.type, 4))), to.as_pointer())


def _spread(builder: Any, scalar: Any, kind: Any) -> Any:
    """A vector of equal numbers."""
    nothing, integer = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    first = builder.insert_element(nothing, scalar, ir.Constant(integer, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(integer, kind.count), None))


@intrinsic(prefer_literal=True)
def zeros(typing: Any, length: Any) -> Any:
    """zeros(length): a vector of zeros; its length is known when the kernel is compiled."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        return ir.Constant(context.get_value_type(sign.return_type), None)

    return Vector(length.literal_value)(length), build


@intrinsic
def load(typing: Any, like: Any, base: Any, offset: Any) -> Any:
    """load(like, base, offset): a vector of the length of `like` from memory."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        kind = context.get_value_type(sign.return_type)
        return builder.load(_pointer(context, builder, sign.args[1:], values[1:], kind), align=4)

    return like(like, base, types.intp), build


@intrinsic
def of_half(typing: Any, bits: Any) -> Any:
    """of_half(bits): the float32 of a float16, whose bits are a uint16."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        return builder.fpext(builder.bitcast(values[0], ir.HalfType()), ir.FloatType())

    return types.float32(types.uint16), build


@intrinsic
def to_half(typing: Any, number: Any) -> Any:
    """to_half(number): the bits (uint16) of the float16 next to a float32."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        return builder.bitcast(builder.fptrunc(values[0], ir.HalfType()), ir.IntType(16))

    return types.uint16(types.float32), build


@intrinsic
def store(typing: Any, vector: Any, base: Any, offset: Any) -> Any:
    """store(vector, base, offset): the vector into memory."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        builder.store(values[0], _pointer(context, builder, sign.args[1:], values[1:], values[0].type), align=4)
        return context.get_dummy_value()

    return types.void(vector, base, types.intp), build


@intrinsic
def fetch(typing: Any, base: Any, offset: Any) -> Any:
    """fetch(base, offset): what lies there comes into the cache, while nobody waits for it."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        integer, byte = ir.IntType(32), ir.IntType(8)
        named = ir.FunctionType(ir.VoidType(), [byte.as_pointer(), integer, integer, integer])
        run = cgutils.get_or_insert_function(builder.module, named, "llvm.prefetch.p0i8")
        to_read, keep, data = (ir.Constant(integer, value) for value in (0, 3, 1))
        builder.call(run, [_pointer(context, builder, sign.args, values, byte), to_read, keep, data])
        return context.get_dummy_value()

    return types.void(base, types.intp), build


@intrinsic
def add(typing: Any, first: Any, second: Any) -> Any:
    """add(first, second): the sum of two vectors."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        return builder.fadd(*values, flags=FUSED)

    return first(first, first), build


@intrinsic
def add_scaled(typing: Any, to: Any, scale: Any, vector: Any) -> Any:
    """add_scaled(to, scale, vector): to + scale vector, for a number `scale`."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        scaled = builder.fmul(_spread(builder, values[1], values[0].type), values[2], flags=FUSED)
        return builder.fadd(values[0], scaled, flags=FUSED)

    return to(to, types.float32, to), build


@intrinsic
def add_product(typing: Any, to: Any, first: Any, second: Any) -> Any:
    """add_product(to, first, second): to + first second, number by number."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        return builder.fadd(values[0], builder.fmul(*values[1:], flags=FUSED), flags=FUSED)

    return to(to, to, to), build


@intrinsic
def over_root(typing: Any, above: Any, below: Any, scale: Any, least: Any) -> Any:
    """over_root(above, below, scale, least): above / (scale sqrt(below) + least), for numbers `scale` and `least`."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        kind = values[0].type
        named = ir.FunctionType(kind, [kind])
        root = builder.call(cgutils.get_or_insert_function(builder.module, named, f"llvm.sqrt.v{kind.count}f32"), [values[1]])
        scaled = builder.fmul(root, _spread(builder, values[2], kind), flags=FUSED)
        return builder.fdiv(values[0], builder.fadd(scaled, _spread(builder, values[3], kind), flags=FUSED))

    return above(above, above, types.float32, types.float32), build


@intrinsic
def mean_square(typing: Any, vector: Any) -> Any:
    """mean_square(vector): the mean of the squares of its numbers, as a vector of one."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        kind, number = values[0].type, ir.FloatType()
        named = ir.FunctionType(number, [number, kind])
        total = cgutils.get_or_insert_function(builder.module, named, f"llvm.vector.reduce.fadd.v{kind.count}f32")
        squares = builder.fmul(values[0], values[0])
        added = builder.call(total, [ir.Constant(number, 0.0), squares], fastmath=("reassoc",))
        return _spread(builder, builder.fmul(added, ir.Constant(number, 1 / kind.count)), ir.VectorType(number, 1))

    return Vector(1)(vector), build


@intrinsic
def repeat(typing: Any, like: Any, one: Any) -> Any:
    """repeat(like, one): a vector of the length of `like`, all of whose numbers are that of a vector of one."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        return _spread(builder, builder.extract_element(values[1], ir.Constant(ir.IntType(32), 0)), values[0].type)

    return like(like, one), build


@intrinsic
def opacity(typing: Any, depth: Any) -> Any:
    """opacity(depth): 1 - exp(-depth) of optical depths that are 0 or more, to 2e-7 (Cephes' polynomial)."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        kind = values[0].type
        whole = ir.VectorType(ir.IntType(32), kind.count)

        def number(value: float) -> Any:
            return ir.Constant(kind, [value] * kind.count)

        def fused(a: Any, b: Any, c: Any) -> Any:
            return builder.fadd(builder.fmul(a, b, flags=FUSED), c, flags=FUSED)

        most = number(87.0)
        x = builder.select(builder.fcmp_ordered("<", values[0], most), values[0], most)
        # exp(-x) = 2^-n exp(r), |r| <= ln(2) / 2
        n = builder.fptosi(fused(x, number(1.4426950408889634), number(0.5)), whole)
        r = fused(builder.sitofp(n, kind), number(0.693359375), builder.fneg(x))
        r = fused(builder.sitofp(n, kind), number(-2.12194440e-4), r)
        series = number(1.9875691500e-4)
        for term in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1, 1.0, 1.0):
            series = fused(series, r, number(term))
        bits = builder.shl(builder.sub(ir.Constant(whole, [127] * kind.count), n), ir.Constant(whole, [23] * kind.count))
        return builder.fsub(number(1.0), builder.fmul(series, builder.bitcast(bits, kind)))

    return depth(depth), build


@intrinsic
def where_positive(typing: Any, of: Any, vector: Any) -> Any:
    """where_positive(of, vector): the vector where `of` is positive, elsewhere zero."""

    def build(context: Any, builder: Any, sign: Any, values: Any) -> Any:
        zero = ir.Constant(values[0].type, None)
        return builder.select(builder.fcmp_ordered(">", values[0], zero), values[1], zero)

    return of(of, of), build


@overload(len)
def _length(vector):  # the annotations would have to be those of the implementation, too
    """len(vector): known when the kernel is compiled."""
    if isinstance(vector, Vector):
        length = vector.length
        return lambda vector: length
    return None
