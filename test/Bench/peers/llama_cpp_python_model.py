# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""llama.cpp: a checkpoint as a GGUF file."""

from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path

import numpy as np
from worker import CACHE, CHUNK, Refused, Weights, serve

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "self_attn.sinks": "attn_sinks",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate": "ffn_gate_inp",
    "mlp.router": "ffn_gate_inp",
    "block_sparse_moe.gate": "ffn_gate_inp",
    "gate_proj": "ffn_gate_exps",
    "up_proj": "ffn_up_exps",
    "down_proj": "ffn_down_exps",
    "w1": "ffn_gate_exps",
    "w3": "ffn_up_exps",
    "w2": "ffn_down_exps",
}
"""Part of a name in the checkpoint, and in the file."""

ARCHITECTURES = {"olmoe": "olmoe", "qwen3_moe": "qwen3moe", "mixtral": "llama", "gpt_oss": "gpt-oss"}
"""By `model_type`."""


def write_gguf(checkpoint: Path, path: Path, format: str) -> None:
    """Matrices in a format, embeddings in bf16, norms, biases and routers in f32; experts are stacked."""
    import gguf

    type, wide = gguf.GGMLQuantizationType[format.upper()], gguf.GGMLQuantizationType.F32
    config = json.loads((checkpoint / "config.json").read_text())
    writer = gguf.GGUFWriter(path, ARCHITECTURES[config["model_type"]], use_temp_file=True)
    head = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
    rope = config.get("rope_parameters", config)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config.get("moe_intermediate_size", config["intermediate_size"]))
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_expert_count(config.get("num_experts") or config["num_local_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if "sliding_window" in config:
        writer.add_sliding_window(config["sliding_window"])
    for name, arrays in _targets(Weights(checkpoint), config).items():
        kept = wide if name.endswith((".bias", "norm.weight", "gate_inp.weight", "sinks.weight")) else type
        kept = gguf.GGMLQuantizationType.BF16 if name == "token_embd.weight" else kept
        data = np.stack([_convert(array, kept) for array in arrays])
        writer.add_tensor(name, data if "_exps" in name else data[0], raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _targets(tensors, config):
    """Arrays that a tensor of the file is stacked of, by its name."""
    targets = {}
    for name in tensors:
        layer, known = re.fullmatch(r"(?:model\.layers\.(\d+)\.)?(.*)", name).groups()
        prefix, array = f"blk.{layer}." if layer else "", tensors[name]
        if known.startswith("mlp.experts.") and config["model_type"] == "gpt_oss":
            for target, parts in _gpt_oss_experts(known, array).items():
                targets[prefix + target] = parts
            continue
        known, suffix = re.fullmatch(r"(?:.*\.experts\.\d+\.)?(.*?)(\.weight|\.bias)?", known).groups()
        target = NAMES[known]
        if config["model_type"] == "gpt_oss" and target == "ffn_norm":
            target = "post_attention_norm"
        if config["model_type"] == "mixtral" and target in ("attn_q", "attn_k"):
            # Its rotary embedding turns neighbours, not halves.
            heads = config["num_attention_heads" if target == "attn_q" else "num_key_value_heads"]
            array = array.reshape(heads, 2, -1, array.shape[-1]).swapaxes(1, 2).reshape(array.shape)
        targets.setdefault(f"{prefix}{target}{suffix or '.weight'}", []).append(array)
    return targets


def _gpt_oss_experts(name, array):
    """Gate and up come in turns, and inputs before outputs."""
    suffix = ".bias" if name.endswith("_bias") else ".weight"
    array = array if suffix == ".bias" else array.swapaxes(1, 2)
    if "down" in name:
        return {f"ffn_down_exps{suffix}": list(array)}
    return {f"ffn_gate_exps{suffix}": list(array[:, ::2]), f"ffn_up_exps{suffix}": list(array[:, 1::2])}


def _convert(bits, type):
    import gguf

    bits = np.ascontiguousarray(bits)
    if type == gguf.GGMLQuantizationType.BF16:
        return bits.view(np.uint8)
    return gguf.quants.quantize((bits.astype(np.uint32) << 16).view(np.float32), type)


class Model:
    """A call is tokens behind those that are in the cache."""

    def __init__(self, job):
        import llama_cpp

        path = Path(job.weights, f"{job.format}.gguf")
        if not path.exists():
            write_gguf(Path(job.weights), path.with_suffix(".part"), job.format)
            path.with_suffix(".part").rename(path)
        llama_cpp.llama_backend_init()
        self._llama, parameters = llama_cpp, llama_cpp.llama_model_default_params()
        parameters.use_mmap = False
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not self._model:
            raise Refused("llama.cpp does not load it; what it says is in the log")
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx, parameters.n_batch, parameters.n_ubatch = CACHE, CHUNK, CHUNK
        parameters.n_threads = parameters.n_threads_batch = job.threads
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._cached = 0
        self._vocab = json.loads(Path(job.weights, "config.json").read_text())["vocab_size"]

    def bind(self, call):
        past, tokens = int(call[0]), np.ascontiguousarray(call[1:])
        if past != self._cached:
            for start in range(0, past, CHUNK):
                self.run((np.arange(start, min(start + CHUNK, past), dtype=np.int32), start), 0, "")
            self._cached = past
        return tokens, past

    def run(self, bound, copy, variant):
        tokens, past = bound
        llama, count = self._llama, len(tokens)
        llama.llama_memory_seq_rm(self._memory, 0, past, -1)
        pointer = tokens.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        status = llama.llama_decode(self._context, llama.llama_batch_get_one(pointer, count))
        if status:
            raise Refused(f"llama_decode: {status}")
        logits = llama.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(logits, (1, self._vocab)).copy()

    def result(self, returned):
        return returned


if __name__ == "__main__":
    serve(Model)
