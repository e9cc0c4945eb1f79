# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Switch Transformer (arXiv:2101.03961)."""

from moec.hf.config import Config
from moec.hf.encdec import Buckets, EncoderDecoder, Routing, Side
from moec.hf.spec import Norm

# In published files, though the architecture has no such switch.
_PUBLISHED = {
    "feed_forward_proj": "relu",
    "is_gated_act": False,
    "num_selected_experts": 1,
    "router_type": "tokens_masked",
}


def spec(config: Config) -> EncoderDecoder:
    config.ignore("dropout_rate", "initializer_factor", "router_jitter_noise", "router_z_loss_coef")
    config.ignore("add_cross_attention", "add_router_probs", "router_dtype", "router_ignore_padding_tokens")
    for key, value in {"dense_act_fn": "relu", "is_decoder": False, "router_bias": False}.items():
        config.only(key, value)
    for key, value in _PUBLISHED.items():
        config.only(key, value)
    hidden, tied = config.integer("d_model"), config.flag("tie_word_embeddings", True)
    depth = config.integer("num_layers")
    return EncoderDecoder(
        architecture=config.word("model_type"),
        vocab=config.integer("vocab_size"),
        hidden=hidden,
        encoder=_side(config, "encoder", depth),
        decoder=_side(config, "decoder", config.integer("num_decoder_layers", depth)),
        routing=Routing(config.integer("num_experts"), 1, config.integer("expert_capacity", 64)),
        positions=Buckets(
            config.integer("relative_attention_num_buckets", 32, minimum=4),
            config.integer("relative_attention_max_distance", 128),
        ),
        norm=Norm(config.number("layer_norm_epsilon", 1e-6)),
        scaled=False,
        bias=False,
        embedding_scale=1.0,
        logit_scale=hidden**-0.5 if tied else 1.0,
        max_len=config.integer("n_positions", 512),
        tied=tied,
        dtype=config.word("dtype", config.word("torch_dtype", None)),
        names=_names(),
        unused=r"(encoder|decoder)\.embed_tokens\.weight|lm_head\.weight" if tied else r"shared\.weight",
    )


def _side(config: Config, side: str, depth: int) -> Side:
    """Experts are in every n-th layer, from the second."""
    count = config.integer(f"num_sparse_{side}_layers", 3, minimum=0)
    step = config.integer(f"{side}_sparse_step", depth // count if count else depth, minimum=0)
    sparse = tuple(step == 1 or (step > 0 and at % step == 1) for at in range(depth))
    return Side(sparse, config.integer("num_heads"), config.integer("d_kv"), config.integer("d_ff"))


def _names() -> dict[str, str]:
    names = {"embed": "shared.weight", "head": "lm_head.weight"}
    for side, mlp in (("encoder", 1), ("decoder", 2)):
        block = side + ".block.{0}.layer."
        names[f"{side}_embed"] = f"{side}.embed_tokens.weight"
        names[f"{side}_norm"] = f"{side}.final_layer_norm.weight"
        names[f"{side}_buckets"] = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        names |= _attention(side, f"{block}0.", "SelfAttention")
        for kind, expert in (("dense", ""), ("sparse", "experts.expert_{1}.")):
            own = f"{side}_{kind}"
            names[f"{own}.norm"] = f"{block}{mlp}.layer_norm.weight"
            names[f"{own}.router"] = f"{block}{mlp}.mlp.router.classifier.weight"
            names[f"{own}.up"] = f"{block}{mlp}.mlp.{expert}wi.weight"
            names[f"{own}.down"] = f"{block}{mlp}.mlp.{expert}wo.weight"
    return names | _attention("cross", "decoder.block.{0}.layer.1.", "EncDecAttention")


def _attention(function: str, layer: str, module: str) -> dict[str, str]:
    projections = {f"{function}.{role}": f"{layer}{module}.{role}.weight" for role in "qkvo"}
    return {f"{function}.norm": f"{layer}layer_norm.weight"} | projections
