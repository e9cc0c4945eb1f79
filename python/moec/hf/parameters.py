# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The weights of a decoder: one stacked parameter for each role in each kind of layer."""

from __future__ import annotations

from dataclasses import replace

from moec.errors import Error
from moec.hf.spec import Attention, Dense, Latent, Layer, Mixture, Network, Sparse, Spec
from moec.hf.weights import Fused, Parameter, Shape, make_parameter


def parameters(spec: Spec) -> list[Parameter]:
    """All parameters of a decoder; those of a kind of layer carry the name of its function and a dot in front."""
    top = {"embed": (spec.vocab, spec.hidden)} | _norm_shapes(spec, "norm")
    if not spec.tied:
        top["head"] = (spec.vocab, spec.hidden)
    if spec.head_bias:
        top["head_bias"] = (spec.vocab,)
    found = [make_parameter(role, _tensor(spec, role), (), shape) for role, shape in top.items()]
    for kind, (layer, depths) in zip(kind_names(spec), spec.kinds.items()):
        for role, shape in _layer_shapes(spec, layer).items():
            found.append(make_parameter(f"{kind}.{role}", _tensor(spec, role), (depths,), shape))
        for count, shapes in _stacked_shapes(spec, layer):
            for role, shape in shapes.items():
                stack = (depths, tuple(range(count)))
                found.append(make_parameter(f"{kind}.{role}", _tensor(spec, role), stack, shape))
    return found


def with_dtype(parameters: list[Parameter], spec: Spec) -> list[Parameter]:
    """Give all parameters the dtype that config.json names.

    Raises
    ------
    Error
        If it names none, or one that is not supported.
    """
    dtypes = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}
    if spec.dtype not in dtypes:
        expected = ", ".join(dtypes)
        raise Error(f"config.json: dtype: expected one of {expected} where no weights are read, got {spec.dtype}")
    dtype = dtypes[spec.dtype]
    return [p.map_stacks(lambda stack: replace(stack, dtype=stack.dtype or dtype)) for p in parameters]


def kind_names(spec: Spec) -> list[str]:
    """Names of the functions, one for each kind of layer."""
    return [f"layer{number}" for number in range(len(spec.kinds))]


def of_kind(parameters: list[Parameter], kind: str) -> dict[str, Parameter]:
    """The parameters of one kind of layer, by role."""
    prefix = kind + "."
    return {p.name.removeprefix(prefix): p for p in parameters if p.name.startswith(prefix)}


def ffn_roles(spec: Spec, ffn: Network) -> list[str]:
    """Roles of a network's weights."""
    experts = _expert_shapes(spec.hidden, ffn) if isinstance(ffn, Sparse) else {}
    return [*_ffn_shapes(spec, ffn), *experts]


def _tensor(spec: Spec, role: str) -> str | Fused:
    """Where a role's elements are; a bias stands beside its weight unless it has a name of its own."""
    if role in spec.names:
        return spec.names[role]
    return spec.names[role.removesuffix("_bias")].removesuffix("weight") + "bias"


def _layer_shapes(spec: Spec, layer: Layer) -> dict[str, Shape]:
    """Shapes of one layer's weights, by role, without the experts'."""
    norms = [shape for role in layer.norms for shape in _norm_shapes(spec, role).items()]
    attention = _SHAPES[type(layer.attention)](spec.hidden, layer.attention)
    scale = {"scale": (1,)} if layer.scaled else {}
    shapes = dict(norms) | scale | attention | _ffn_shapes(spec, layer.ffn)
    if layer.shortcut:
        shapes |= _ffn_shapes(spec, layer.shortcut)
    return shapes | _then(_layer_shapes(spec, layer.then) if layer.then else {})


def _stacked_shapes(spec: Spec, layer: Layer) -> list[tuple[int, dict[str, Shape]]]:
    """Numbers of heads and of experts, and shapes of the weights that each head or expert has of its own."""
    attention, ffn, heads = layer.attention, layer.sparse, None
    if isinstance(attention, Latent):
        heads = (attention.heads, _head_shapes(attention))
    if isinstance(attention, Mixture):
        up, down = (attention.experts.intermediate, spec.hidden), (spec.hidden, attention.experts.intermediate)
        heads = (attention.experts.experts, {"attn_up": up, "attn_down": down})
    experts = (ffn.experts, _expert_shapes(spec.hidden, ffn)) if ffn else None
    then = [(count, _then(shapes)) for count, shapes in (_stacked_shapes(spec, layer.then) if layer.then else [])]
    return [stacked for stacked in (heads, experts, *then) if stacked]


def _then(shapes: dict[str, Shape]) -> dict[str, Shape]:
    """The roles of a layer's second one."""
    return {f"then_{role}": shape for role, shape in shapes.items()}


def _norm_shapes(spec: Spec, role: str) -> dict[str, Shape]:
    bias = {f"{role}_bias": (spec.hidden,)} if spec.norm.bias else {}
    return {role: (spec.hidden,)} | bias


def _attention_shapes(hidden: int, attention: Attention) -> dict[str, Shape]:
    (q, o), (k, v) = (
        (heads * attention.head_dim, heads * (attention.v_dim or attention.head_dim))
        for heads in (attention.heads, attention.kv_heads)
    )
    shapes: dict[str, Shape] = {"q": (q, hidden), "k": (k, hidden), "v": (v, hidden), "o": (hidden, o)}
    if attention.v_of_k:
        del shapes["v"]
    shapes |= {f"{role}_bias": shapes[role][:1] for role in attention.biases if role in shapes}
    if attention.qk_norm == "projection":
        shapes |= {"q_norm": (q,), "k_norm": (k,)}
    elif attention.qk_norm == "head":
        shapes |= {"q_norm": (attention.head_dim,), "k_norm": (attention.head_dim,)}
    if attention.sinks:
        shapes["sinks"] = (attention.heads,)
    if attention.gate:
        shapes["attn_gate"] = (attention.heads if attention.gate_per_head else o, hidden)
    return shapes


def _latent_shapes(hidden: int, latent: Latent) -> dict[str, Shape]:
    q, kept = latent.heads * (latent.nope_dim + latent.rope.dim), latent.rank + latent.rope.dim
    if latent.q_rank is None:
        shapes: dict[str, Shape] = {"q": (q, hidden)}
    else:
        shapes = {"q_a": (latent.q_rank, hidden), "q_a_norm": (latent.q_rank,), "q_b": (q, latent.q_rank)}
    shapes |= {"kv_a": (kept, hidden), "kv_a_norm": (latent.rank,), "o": (hidden, latent.heads * latent.v_dim)}
    biased = [role for role in ("q_a", "kv_a", "o") if latent.bias and role in shapes]
    return shapes | {f"{role}_bias": shapes[role][:1] for role in biased}


def _mixture_shapes(hidden: int, mixture: Mixture) -> dict[str, Shape]:
    kv = (mixture.attention.kv_heads * mixture.attention.head_dim, hidden)
    return {"attn_router": (mixture.experts.experts, hidden), "attn_out_bias": (hidden,), "k": kv, "v": kv}


_SHAPES = {Attention: _attention_shapes, Latent: _latent_shapes, Mixture: _mixture_shapes}


def _head_shapes(latent: Latent) -> dict[str, Shape]:
    """Shapes of one head's projections from its query to the latent vector, and from that to its value."""
    return {"k_b": (latent.rank, latent.nope_dim), "v_b": (latent.v_dim, latent.rank)}


def _ffn_shapes(spec: Spec, ffn: Network) -> dict[str, Shape]:
    """Shapes of a network's weights, by role, without the experts'."""
    if isinstance(ffn, Dense):
        return _dense_shapes(spec.hidden, ffn, "dense")
    choices = ffn.experts + ffn.identities
    shapes: dict[str, Shape] = {"router": (choices, spec.hidden)}
    if ffn.out_bias:
        shapes["out_bias"] = (spec.hidden,)
    if ffn.router.bias:
        shapes["router_bias"] = (choices,)
    if ffn.router.scaled_input:
        shapes["router_scale"] = (spec.hidden,)
    if ffn.router.expert_scale:
        shapes["expert_scale"] = (ffn.experts,)
    if ffn.router.correction:
        shapes["correction"] = (1, choices) if ffn.router.correction_row else (choices,)
    if ffn.shared:
        shapes |= _dense_shapes(spec.hidden, ffn.shared.network, "shared")
        if ffn.shared.apart:
            for role in ("expert_norm", "expert_post_norm", "shared_post_norm"):
                shapes |= _norm_shapes(spec, role)
        if ffn.shared.gated:
            shapes["shared_router"] = (1, spec.hidden)
    return shapes


def _dense_shapes(hidden: int, network: Dense, prefix: str) -> dict[str, Shape]:
    up, down = (network.intermediate, hidden), (hidden, network.intermediate)
    shapes: dict[str, Shape] = {f"{prefix}_gate": up, f"{prefix}_up": up, f"{prefix}_down": down}
    biases = {f"{role}_bias": shape[:1] for role, shape in shapes.items()} if network.bias else {}
    return shapes | biases


def _expert_shapes(hidden: int, ffn: Sparse) -> dict[str, Shape]:
    """Shapes of one expert's weights, by role."""
    up, down = (ffn.intermediate, hidden), (hidden, ffn.intermediate)
    shapes: dict[str, Shape] = {"gate": up, "up": up, "down": down}
    return shapes | ({f"{role}_bias": shape[:1] for role, shape in shapes.items()} if ffn.bias else {})
