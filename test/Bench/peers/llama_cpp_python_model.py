# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""llama.cpp: a checkpoint as a GGUF file."""

from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path

import numpy as np
from worker import PROMPT, Refused, Weights, serve

LENGTH = 1024
"""Of the cache, in tokens."""

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
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate": "ffn_gate_inp",
    "gate_proj": "ffn_gate_exps",
    "up_proj": "ffn_up_exps",
    "down_proj": "ffn_down_exps",
}
"""Part of a name in the checkpoint, and in the file."""


def write_gguf(checkpoint: Path, path: Path, format: str) -> None:
    """Matrices in a format, norms and routers in f32; experts are stacked."""
    import gguf

    type = gguf.GGMLQuantizationType[format.upper()]
    config = json.loads((checkpoint / "config.json").read_text())
    writer = gguf.GGUFWriter(path, {"olmoe": "olmoe", "qwen3_moe": "qwen3moe"}[config["model_type"]])
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_expert_feed_forward_length(config.get("moe_intermediate_size", config["intermediate_size"]))
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_expert_count(config["num_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    tensors = Weights(checkpoint)
    for name in tensors:
        expert = re.search(r"experts\.(\d+)\.(\w+)", name)
        if expert and expert[1] != "0":
            continue
        layer = re.match(r"model\.layers\.(\d+)\.", name)
        known = expert[2] if expert else re.sub(r"^model\.layers\.\d+\.|\.weight$", "", name)
        matrices = [tensors[name]]
        if expert:
            others = range(1, config["num_experts"])
            matrices += [tensors[name.replace("experts.0.", f"experts.{other}.")] for other in others]
        wide = NAMES[known].endswith(("norm", "gate_inp"))
        kept = gguf.GGMLQuantizationType.F32 if wide else type
        data = np.stack([_convert(matrix, kept) for matrix in matrices])
        target = f"blk.{layer[1]}.{NAMES[known]}.weight" if layer else f"{NAMES[known]}.weight"
        writer.add_tensor(target, data if expert else data[0], raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _convert(bits, type):
    import gguf

    if type == gguf.GGMLQuantizationType.BF16:
        return bits.view(np.uint8)
    return gguf.quants.quantize((bits.astype(np.uint32) << 16).view(np.float32), type)


class Model:
    """A call is a prompt in an empty cache, or one token behind `PROMPT` others."""

    def __init__(self, job):
        import llama_cpp

        path = Path(job.scratch, "model.gguf")
        write_gguf(Path(job.weights), path, job.format)
        llama_cpp.llama_backend_init()
        self._llama, parameters = llama_cpp, llama_cpp.llama_model_default_params()
        parameters.use_mmap = False
        self._model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        path.unlink()
        if not self._model:
            raise Refused("llama.cpp does not load it; what it says is in the log")
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = LENGTH
        parameters.n_threads = parameters.n_threads_batch = job.threads
        self._context = llama_cpp.llama_init_from_model(self._model, parameters)
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._vocab = json.loads(Path(job.weights, "config.json").read_text())["vocab_size"]

    def bind(self, tokens):
        past = PROMPT if len(tokens) == 1 else 0
        if past:
            self.run((np.arange(past, dtype=np.int32), 0), 0, "")
        return np.ascontiguousarray(tokens, np.int32), past

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
