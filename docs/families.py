# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of the families of models, from their pages and from the configurations that they are tested with."""

import ast
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "test/Python")]

from tiny import ALL, CONFIGS, write_config  # noqa: E402
from tiny_encdec import ENCODERS  # noqa: E402

from moec.hf import families  # noqa: E402
from moec.hf.encdec import Buckets, EncoderDecoder  # noqa: E402
from moec.hf.refused import REFUSED  # noqa: E402
from moec.hf.spec import Latent, Mixture, Spec  # noqa: E402
from moec.hf.wrapped import WRAPPERS  # noqa: E402

INTRODUCTION = """# Families of models

`moec compile` takes checkpoints of these families of transformers 5.18. Each is compared with the class that defines
it, on two small random models: one with as few switches of its config.json as possible, and one with the others
changed. Logits are at most 16 times as far from those of the model in float64 as transformers in float32 is, on weights
for which every correct program chooses the same experts; greedy tokens are equal. *All promises* adds ragged batches in
stale caches, chunked prompts, batch invariance, threads, bf16 and single blocks, for which no family has its own code.
"""


def table() -> str:
    """The whole page."""
    rows = [_row(family) for family in families.FAMILIES]
    refused = [f"| `{family}` | {reason} |" for family, reason in sorted(REFUSED.items())]
    wrapped = [f"| `{model}` | `{wrapper.family}` |" for model, wrapper in sorted(WRAPPERS.items())]
    notes = [f"- `{_model_type(family)}`: {note}" for family in families.FAMILIES if (note := _docstring(family)[1])]
    return "\n".join(
        [
            INTRODUCTION,
            "| model_type | model | attention | experts | verified |",
            "|---|---|---|---|---|",
            *rows,
            "\nOf these models of text and images the part for text is compiled, a decoder of the family beside it:\n",
            "| model_type | decoder |",
            "|---|---|",
            *wrapped,
            "\nWhere the class of transformers differs from what a model's authors published:\n",
            *notes,
            "\nThese have experts too, and are refused with an error that says why:\n",
            "| model_type | what it has |",
            "|---|---|",
            *refused,
            "",
        ]
    )


def _row(family: str) -> str:
    specs = _specs(family)
    if family in ENCODERS:
        parts, verified = _encoder(specs[0]), "logits, tokens"
    else:
        parts = [_attention(specs), _experts(specs)]
        verified = "all promises" if family in CONFIGS else "logits, tokens"
    return f"| {' | '.join([f'`{_model_type(family)}`', _docstring(family)[0], *parts, verified])} |"


def _model_type(family: str) -> str:
    """As config.json has it."""
    return (ALL | ENCODERS)[family][0]["model_type"]


def _encoder(spec: EncoderDecoder) -> list[str]:
    """Attention and experts of an encoder-decoder."""
    places = "biases of distance" if isinstance(spec.positions, Buckets) else "waves"
    routing = spec.routing
    flags = {"divided by sum": routing.norm, "scaled": routing.scale != 1, "capacity": routing.capacity}
    return [f"encoder and decoder, {places}", ", ".join(["softmax", *_flags(flags)])]


def _docstring(family: str) -> tuple[str, str]:
    """First line without its period, and the rest as one line."""
    text = ast.get_docstring(ast.parse((ROOT / f"python/moec/hf/families/{family}.py").read_text()))
    first, _, rest = text.partition("\n\n")
    return first.replace("\n", " ").removesuffix("."), " ".join(rest.split())


def _specs(family: str) -> list[Spec | EncoderDecoder]:
    """What the two small models compute."""
    plain, changes = (ALL | ENCODERS)[family]
    with tempfile.TemporaryDirectory() as folder:
        return [families.read_spec(write_config(Path(folder), config)) for config in (plain, plain | changes)]


def _attention(specs: list[Spec]) -> str:
    found = [layer.attention for spec in specs for layer in spec.layers]
    if any(isinstance(attention, Mixture) for attention in found):
        return "grouped-query, queries and results by experts"
    if any(isinstance(attention, Latent) for attention in found):
        return ", ".join(["latent", *_flags({"interleaved rope": any(a.rope.interleaved for a in found)})])
    ropes = [(attention, attention.rope) for attention in found if attention.rope]
    return ", ".join(
        [
            "grouped-query",
            *_flags(
                {
                    "biases": any(a.biases for a in found),
                    "norms of heads": any(a.qk_norm == "head" for a in found),
                    "plain norms of heads": any(a.qk_norm == "plain head" for a in found),
                    "norms of projections": any(a.qk_norm == "projection" for a in found),
                    "norms after rope": any(a.norm_after_rope for a in found),
                    "clipped": any(a.clip for a in found),
                    "windows": any(a.window for a in found),
                    "chunks": any(a.chunk for a in found),
                    "sinks": any(a.sinks for a in found),
                    "narrow values": any(a.v_dim for a in found),
                    "gate": any(a.gate for a in found),
                    "partial rope": any(rope.dim < a.head_dim for a, rope in ropes),
                    "interleaved rope": any(rope.interleaved for _, rope in ropes),
                    "layers without rope": len(ropes) < len(found),
                    "rope by type of layer": any(len(spec.ropes) > 1 for spec in specs),
                }
            ),
        ]
    )


def _experts(specs: list[Spec]) -> str:
    found = [layer for spec in specs for layer in spec.layers]
    sparse = [layer.sparse for layer in found if layer.sparse]
    routers = [ffn.router for ffn in sparse]
    shared = [ffn.shared for ffn in sparse if ffn.shared]
    return ", ".join(
        [
            " or ".join(sorted({"sparse mixer" if r.sparsemixer else r.score for r in routers})),
            *_flags(
                {
                    "of logits": any(r.select_logits for r in routers),
                    "correction": any(r.correction for r in routers),
                    "groups": any(r.groups for r in routers),
                    "soft cap": any(r.softcap for r in routers),
                    "divided by sum": any(r.norm for r in routers),
                    "scaled": any(r.scale != 1 for r in routers),
                    "gated shared expert": any(s.gated for s in shared),
                    "shared expert": any(not s.gated for s in shared),
                    "networks with norms of their own": any(s.apart for s in shared),
                    "numbers of experts": any(r.expert_scale for r in routers),
                    "identities": any(ffn.identities for ffn in sparse),
                    "beside two layers": any(layer.shortcut for layer in found),
                    "weights on inputs": any(ffn.weigh_input for ffn in sparse),
                    "biases": any(ffn.bias for ffn in sparse),
                    "dense layers": len(sparse) < len(found),
                }
            ),
        ]
    )


def _flags(flags: dict[str, bool]) -> list[str]:
    return [name for name, flag in flags.items() if flag]
