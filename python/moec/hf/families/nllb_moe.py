# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NLLB with experts (arXiv:2207.04672).

The class of transformers 5.18 takes the mask of a token's first expert for the experts' numbers, so that only the first
two experts ever run; here the weights of the router decide, as in the paper.
"""

from moec.hf.config import Config
from moec.hf.encdec import EncoderDecoder, Routing, Side, Sinusoids
from moec.hf.spec import Norm

_EPSILON = 2.0**-23  # of f32


def spec(config: Config) -> EncoderDecoder:
    config.ignore("activation_dropout", "attention_dropout", "dropout", "encoder_layerdrop", "decoder_layerdrop")
    config.ignore("init_std", "router_dtype", "router_ignore_padding_tokens", "router_z_loss_coef")
    # Where an expert takes all tokens, neither order nor the time of the normalisation matters.
    config.ignore("batch_prioritized_routing", "expert_capacity", "normalize_router_prob_before_dropping")
    for key, value in {
        "activation_function": "relu",
        "moe_eval_capacity_token_fraction": 1.0,
        "router_bias": False,
        "second_expert_policy": "all",
        "tie_word_embeddings": True,
    }.items():
        config.only(key, value)
    hidden = config.integer("d_model")
    pad = config.integer("pad_token_id", 1, minimum=0)
    dropout = config.number("moe_token_dropout", 0.2)
    return EncoderDecoder(
        architecture=config.word("model_type"),
        vocab=config.integer("vocab_size"),
        hidden=hidden,
        encoder=_side(config, "encoder", hidden),
        decoder=_side(config, "decoder", hidden),
        routing=Routing(config.integer("num_experts"), 2, norm=True, at_least=_EPSILON, scale=1 - dropout),
        positions=Sinusoids(pad + 1, pad),
        norm=Norm(1e-5, center=True, bias=True),
        scaled=True,
        bias=True,
        embedding_scale=hidden**0.5 if config.flag("scale_embedding", True) else 1.0,
        logit_scale=1.0,
        max_len=config.integer("max_position_embeddings"),
        tied=True,
        dtype=config.word("dtype", config.word("torch_dtype", None)),
        names=_names(),
        unused=r"model\.(encoder|decoder)\.embed_tokens\.weight|lm_head\.weight",
    )


def _side(config: Config, side: str, hidden: int) -> Side:
    """Experts are in every n-th layer."""
    heads, step = config.integer(f"{side}_attention_heads"), config.integer(f"{side}_sparse_step", 4, minimum=0)
    if hidden % heads:
        config.refuse(f"{side}_attention_heads", f"a divisor of d_model ({hidden})")
    sparse = tuple(step > 0 and (at + 1) % step == 0 for at in range(config.integer(f"{side}_layers")))
    return Side(sparse, heads, hidden // heads, config.integer(f"{side}_ffn_dim"))


def _names() -> dict[str, str]:
    names = {"embed": "model.shared.weight"}
    for side in ("encoder", "decoder"):
        layer = f"model.{side}." + "layers.{0}."
        names[f"{side}_norm"] = f"model.{side}.layer_norm.weight"
        names |= _attention(side, layer + "self_attn")
        for kind, expert in (("dense", ""), ("sparse", "experts.expert_{1}.")):
            own = f"{side}_{kind}"
            names[f"{own}.norm"] = f"{layer}ff_layer_norm.weight"
            names[f"{own}.router"] = f"{layer}ffn.router.classifier.weight"
            names[f"{own}.up"] = f"{layer}ffn.{expert}fc1.weight"
            names[f"{own}.down"] = f"{layer}ffn.{expert}fc2.weight"
    return names | _attention("cross", "model.decoder.layers.{0}.cross_attention")


def _attention(function: str, module: str) -> dict[str, str]:
    projections = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "out_proj"}
    names = {f"{function}.{role}": f"{module}.{projection}.weight" for role, projection in projections.items()}
    return {f"{function}.norm": f"{module}_layer_norm.weight"} | names
