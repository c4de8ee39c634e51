"""Trains the tiny model and exports it in the Hugging Face layout.

    python3 models/tiny/train.py --stage first    # from scratch
    python3 models/tiny/train.py --stage second   # continues the exported weights: more layers, longer context, tools

Reads the files that prepare.js wrote to .work/ (token ids, loss mask, starts of
conversations), resumes from .work/STAGE.pt if it exists, logs to loss.csv, and
finally writes config.json and model.safetensors (BF16): the first stage to the folder
of this file, the second one to .work/tiny/.
With --export-only it only writes them from the checkpoint.

The learning rate is constant after the warm-up and falls linearly to zero over
the last part of the run, so --steps may be changed on resuming until then. Windows
of 256 tokens are cheaper; longer windows train later positions.
"""

import argparse
import csv
import ctypes
import dataclasses
import json
import math
import os
import shutil
import struct
import time

import numpy as np
import torch
import torch.nn.functional as F

HERE = os.path.dirname(os.path.abspath(__file__))

SEED = 20250611
BATCH_TOKENS = 4096
DECAY_SHARE = 0.6  # share of the steps, at the end, with a falling learning rate
WARMUP_STEPS = 100


@dataclasses.dataclass(frozen=True)
class Stage:
    steps: int
    learning_rate: float  # the highest one
    layers: int
    positions: int
    phases: list  # (share of the steps, length of windows from there, part of the data)


STAGES = {
    "first": Stage(4700, 3e-3, 6, 1024, [
        (0.0, 256, "part-one"), (0.46, 256, "part-two"), (0.73, 512, "part-two"), (0.85, 1024, "part-two"), (0.914, 256, "part-two"),
    ]),
    "second": Stage(8600, 2e-3, 8, 4096, [(0.0, 512, "part-three"), (0.85, 4096, "part-four"), (0.88, 1024, "part-three")]),
}
NEW_TOKENS = ["<|tool|>", "<tool_call>", "</tool_call>"]  # unknown to the first stage

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "torch_dtype": "bfloat16",
    "hidden_size": 192,
    "intermediate_size": 512,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "rms_norm_eps": 1e-05,
    "initializer_range": 0.02,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "use_cache": True,
}


ATTENTION_BLOCK = 256


def causal_attention(q, k, v):
    """Plain products, which PyTorch does three times as fast on a CPU as its fused attention.

    q is [batch, heads, time, head_dim]; k and v have fewer heads, each for a group of those of q.
    """
    batch, heads, time_, head_dim = q.shape
    groups = batch * k.shape[1]
    k, v = (t.reshape(groups, time_, head_dim) for t in (k, v))
    q = (q / math.sqrt(head_dim)).reshape(groups, -1, time_, head_dim)
    blocks = []
    for start in range(0, time_, ATTENTION_BLOCK):
        end = min(start + ATTENTION_BLOCK, time_)
        rows = q[:, :, start:end].reshape(groups, -1, head_dim)
        scores = torch.bmm(rows, k[:, :end].transpose(1, 2)).view(groups, -1, end - start, end)
        future = torch.full((end - start, end), -torch.inf, dtype=scores.dtype, device=scores.device).triu(start + 1)
        shares = torch.softmax(scores + future, dim=-1).to(v.dtype)
        blocks.append(torch.bmm(shares.view(groups, -1, end), v[:, :end]).view(groups, -1, end - start, head_dim))
    return torch.cat(blocks, dim=2).view(batch, heads, time_, head_dim)


class Layer(torch.nn.Module):
    """One decoder layer; q, k, v and gate, up are fused, and split on export."""

    def __init__(self, config):
        super().__init__()
        hidden, ffn = config["hidden_size"], config["intermediate_size"]
        self.heads = config["num_attention_heads"]
        self.kv_heads = config["num_key_value_heads"]
        self.head_dim = config["head_dim"]
        self.eps = config["rms_norm_eps"]
        q_dim, kv_dim = self.heads * self.head_dim, self.kv_heads * self.head_dim
        self.input_norm = torch.nn.Parameter(torch.ones(hidden))
        self.post_norm = torch.nn.Parameter(torch.ones(hidden))
        self.qkv = torch.nn.Parameter(torch.empty(q_dim + 2 * kv_dim, hidden))
        self.out = torch.nn.Parameter(torch.empty(hidden, q_dim))
        self.gate_up = torch.nn.Parameter(torch.empty(2 * ffn, hidden))
        self.down = torch.nn.Parameter(torch.empty(hidden, ffn))

    def forward(self, x, cos, sin):  # x: [batch, time, hidden]
        batch, time_, hidden = x.shape
        normed = F.rms_norm(x, (hidden,), self.input_norm, self.eps)
        qkv = F.linear(normed, self.qkv).view(batch, time_, -1, self.head_dim)
        qk, v = qkv.split([self.heads + self.kv_heads, self.kv_heads], dim=2)
        first, second = qk.chunk(2, dim=-1)
        qk = qk * cos + torch.cat((-second, first), dim=-1) * sin
        q, k = qk.split([self.heads, self.kv_heads], dim=2)
        attended = causal_attention(*(t.transpose(1, 2) for t in (q, k, v)))
        x = x + F.linear(attended.transpose(1, 2).reshape(batch, time_, -1), self.out)
        normed = F.rms_norm(x, (hidden,), self.post_norm, self.eps)
        gate, up = F.linear(normed, self.gate_up).chunk(2, dim=-1)
        return x + F.linear(F.silu(gate) * up, self.down)


class TinyLlama(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed = torch.nn.Parameter(torch.empty(config["vocab_size"], config["hidden_size"]))
        self.layers = torch.nn.ModuleList(Layer(config) for _ in range(config["num_hidden_layers"]))
        self.norm = torch.nn.Parameter(torch.ones(config["hidden_size"]))
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                std = 0.02
                if name.endswith((".out", ".down")):  # these add to the residual stream
                    std /= math.sqrt(2 * len(self.layers))
                torch.nn.init.normal_(weight, std=std)
        half = config["head_dim"] // 2
        rates = config["rope_theta"] ** (-torch.arange(half) / half)
        angles = torch.arange(config["max_position_embeddings"])[:, None] * rates
        angles = torch.cat((angles, angles), dim=-1)[:, None]  # [time, 1, head_dim]
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)

    def forward(self, ids):  # ids: [batch, time] -> [batch, time, hidden]
        x = F.embedding(ids, self.embed)
        dtype = torch.bfloat16 if torch.is_autocast_enabled(ids.device.type) else x.dtype
        cos, sin = (t[: ids.shape[1]].to(dtype) for t in (self.cos, self.sin))
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.rms_norm(x, (x.shape[-1],), self.norm, self.config["rms_norm_eps"])

    def loss(self, ids, targets, positions):
        """Mean cross-entropy at `positions` of the flattened batch only."""
        hidden = self(ids).flatten(0, 1)[positions]
        logits = F.linear(hidden, self.embed)
        return F.cross_entropy(logits.float(), targets.flatten()[positions])


class Windows:
    """Conversations in a random order per epoch, packed into windows.

    A window starts with a conversation, and its last conversation may be cut.
    """

    def __init__(self, folder):
        self.ids = np.fromfile(os.path.join(folder, "ids.u16"), np.uint16)
        self.mask = np.fromfile(os.path.join(folder, "mask.u8"), np.uint8)
        self.starts = np.fromfile(os.path.join(folder, "starts.u32"), np.uint32).astype(np.int64)
        self.ends = np.append(self.starts[1:], len(self.ids))
        self.go_to(epoch=0, cursor=0)

    def go_to(self, epoch, cursor):
        self.epoch, self.cursor = epoch, cursor
        self.order = np.random.default_rng([SEED, self.epoch]).permutation(len(self.starts))

    def next(self, count, length):
        ids = np.zeros((count, length + 1), np.int64)
        mask = np.zeros((count, length + 1), bool)
        for row in range(count):
            filled = 0
            while filled <= length:
                if self.cursor == len(self.order):
                    self.go_to(self.epoch + 1, cursor=0)
                document = self.order[self.cursor]
                self.cursor += 1
                start = self.starts[document]
                size = min(self.ends[document] - start, length + 1 - filled)
                ids[row, filled : filled + size] = self.ids[start : start + size]
                mask[row, filled : filled + size] = self.mask[start : start + size]
                filled += size
        positions = np.flatnonzero(mask[:, 1:])
        return tuple(torch.from_numpy(a) for a in (ids[:, :-1].copy(), ids[:, 1:].copy(), positions))


class Optimizers:
    """Muon for the matrices inside the layers, AdamW for embedding and norms."""

    def __init__(self, model, lr):
        matrices = [p for p in model.layers.parameters() if p.dim() == 2]
        norms = [p for p in model.parameters() if p.dim() == 1]
        self.peak = lr
        self.all = [
            torch.optim.Muon(matrices, lr=lr, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(
                [{"params": [model.embed], "weight_decay": 0.1}, {"params": norms, "weight_decay": 0.0}],
                lr=lr, betas=(0.9, 0.95),
            ),
        ]

    def step(self, share):
        for optimizer in self.all:
            for group in optimizer.param_groups:
                group["lr"] = self.peak * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def learning_rate_share(step, steps):
    warmup = min(1.0, (step + 1) / WARMUP_STEPS)
    return min(warmup, (steps - step) / (steps * DECAY_SHARE))


def train(args):
    torch.manual_seed(SEED)
    stage = STAGES[args.stage]
    steps = args.steps or stage.steps
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with open(os.path.join(HERE if args.stage == "first" else args.export, "tokenizer.json")) as file:
        tokenizer = json.load(file)
    special = {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
    config = {
        **CONFIG,
        "num_hidden_layers": stage.layers,
        "max_position_embeddings": stage.positions,
        "vocab_size": 1 + max(*tokenizer["model"]["vocab"].values(), *special.values()),
        "bos_token_id": special["<|begin|>"],
        "eos_token_id": special["<|end|>"],
    }
    model = TinyLlama(config).to(device)
    checkpoint_path = os.path.join(args.work, f"{args.stage}.pt")
    if args.export_only:
        model.load_state_dict(torch.load(checkpoint_path, map_location=device, weights_only=True)["model"])
        return export(model, args.export)
    optimizers = Optimizers(model, stage.learning_rate)
    names = sorted({part for _, _, part in stage.phases})
    parts = {part: Windows(os.path.join(args.work, part)) for part in names}
    step = tokens = 0
    seconds = 0.0
    before = [0, 0, 0]  # steps, tokens and seconds of the stage before
    log_path = os.path.join(args.export, "loss.csv")
    if os.path.exists(checkpoint_path):
        saved = torch.load(checkpoint_path, map_location=device, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers.all, saved["optimizers"]):
            optimizer.load_state_dict(state)
        step, tokens, seconds, before = (saved[name] for name in ["step", "tokens", "seconds", "before"])
        for part, (epoch, cursor) in saved["places"].items():
            parts[part].go_to(epoch, cursor)
        torch.set_rng_state(saved["rng"].cpu())
        drop_log_rows_after(log_path, before[0] + step)
        print(f"resumed at step {step}", flush=True)
    elif args.stage == "second":
        grow(model, read_safetensors(os.path.join(HERE, "model.safetensors")), [special[token] for token in NEW_TOKENS])
        shutil.copy(os.path.join(HERE, "loss.csv"), log_path)
        with open(log_path) as file:
            before = [int(value) for value in file.readlines()[-1].split(",")[:3]]
    else:
        with open(log_path, "w") as file:
            file.write("step,tokens,seconds,learning_rate,loss\n")

    def save():
        state = {
            "model": model.state_dict(), "optimizers": [o.state_dict() for o in optimizers.all],
            "step": step, "tokens": tokens, "seconds": seconds, "before": before,
            "places": {name: (part.epoch, part.cursor) for name, part in parts.items()}, "rng": torch.get_rng_state(),
        }
        torch.save(state, checkpoint_path + ".part")
        os.replace(checkpoint_path + ".part", checkpoint_path)

    keep_freed_memory()
    recent, began = [], time.time()
    while step < steps:
        length, part = [phase[1:] for phase in stage.phases if step >= phase[0] * steps][-1]
        count = BATCH_TOKENS // length
        ids, targets, positions = (t.to(device) for t in parts[part].next(count, length))
        with torch.autocast(device, torch.bfloat16):
            loss = model.loss(ids, targets, positions)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        share = learning_rate_share(step, steps)
        optimizers.step(share)
        recent.append(loss.item())
        step += 1
        tokens += count * length
        if step % 20 == 0:
            seconds, began = seconds + time.time() - began, time.time()
            totals = [before[0] + step, before[1] + tokens, before[2] + round(seconds)]
            row = [*totals, f"{stage.learning_rate * share:.6f}", f"{sum(recent) / len(recent):.4f}"]
            recent = []
            with open(log_path, "a", newline="") as file:
                csv.writer(file, lineterminator="\n").writerow(row)
            print(*row, flush=True)
        if step % 100 == 0 or step == steps:
            save()
    export(model, args.export)


def keep_freed_memory():
    """glibc gives large tensors back to the system at once, and getting them again takes a fifth of each step."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(-4, 0)  # M_MMAP_MAX: no mapping of its own for a tensor
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def grow(model, tensors, new_tokens):
    """Takes over the weights of a model with fewer layers.

    A new layer after every third one adds nothing at first: its outputs are zero. Tokens that the smaller model did not
    know begin at the mean of all tokens.
    """
    config = model.config
    known = sum(name.endswith("input_layernorm.weight") for name in tensors)
    with torch.no_grad():
        model.embed.copy_(tensors["model.embed_tokens.weight"])
        mean = model.embed.mean(dim=0)
        for token in new_tokens:
            model.embed[token] = mean + 0.002 * torch.randn_like(mean)
        model.norm.copy_(tensors["model.norm.weight"])
        old = 0
        for index, layer in enumerate(model.layers):
            if index % 4 == 3 and old < known or old == known:
                layer.out.zero_()
                layer.down.zero_()
                continue
            prefix = f"model.layers.{old}."
            old += 1
            layer.qkv.copy_(torch.cat([tensors[f"{prefix}self_attn.{n}_proj.weight"] for n in "qkv"]))
            layer.gate_up.copy_(torch.cat([tensors[f"{prefix}mlp.{n}_proj.weight"] for n in ["gate", "up"]]))
            layer.out.copy_(tensors[prefix + "self_attn.o_proj.weight"])
            layer.down.copy_(tensors[prefix + "mlp.down_proj.weight"])
            layer.input_norm.copy_(tensors[prefix + "input_layernorm.weight"])
            layer.post_norm.copy_(tensors[prefix + "post_attention_layernorm.weight"])
    assert old == known and config["num_hidden_layers"] > known


def drop_log_rows_after(path, step):
    """Removes the log of the steps after the checkpoint, which will run again."""
    with open(path) as file:
        header, *rows = file.readlines()
    with open(path, "w") as file:
        file.writelines([header] + [row for row in rows if int(row.split(",")[0]) <= step])


def export(model, folder):
    """Writes config.json and model.safetensors (BF16) with Hugging Face's tensor names."""
    config = model.config
    q = config["num_attention_heads"] * config["head_dim"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    tensors = {"model.embed_tokens.weight": model.embed, "model.norm.weight": model.norm}
    for index, layer in enumerate(model.layers):
        prefix = f"model.layers.{index}."
        names = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]
        tensors.update({f"{prefix}{n}.weight": t for n, t in zip(names, layer.qkv.split([q, kv, kv]))})
        tensors.update({f"{prefix}mlp.{n}.weight": t for n, t in zip(["gate_proj", "up_proj"], layer.gate_up.chunk(2))})
        tensors[prefix + "self_attn.o_proj.weight"] = layer.out
        tensors[prefix + "mlp.down_proj.weight"] = layer.down
        tensors[prefix + "input_layernorm.weight"] = layer.input_norm
        tensors[prefix + "post_attention_layernorm.weight"] = layer.post_norm
    os.makedirs(folder, exist_ok=True)
    write_safetensors(os.path.join(folder, "model.safetensors"), tensors)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            tensor = torch.frombuffer(bytearray(data[start:end]), dtype=torch.bfloat16)
            tensors[name] = tensor.view(entry["shape"]).float()
    return tensors


def write_safetensors(path, tensors):
    """Writes u64 header length, JSON header padded to 8 bytes, and the raw tensors."""
    header, blobs, offset = {"__metadata__": {"format": "pt"}}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu", torch.bfloat16).contiguous()
        blob = tensor.view(torch.int16).numpy().astype("<i2").tobytes()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [offset, offset + len(blob)]}
        blobs.append(blob)
        offset += len(blob)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".part", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    os.replace(path + ".part", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stage", choices=list(STAGES), required=True)
    parser.add_argument("--steps", type=int, help="number of steps, if not that of the stage")
    parser.add_argument("--work", default=os.path.join(HERE, ".work"), help="folder with the encoded data and the checkpoints")
    parser.add_argument("--export", help="folder to write the model to; by default that of the stage")
    parser.add_argument("--export-only", action="store_true", help="do not train, export the checkpoint")
    args = parser.parse_args()
    args.export = args.export or (HERE if args.stage == "first" else os.path.join(args.work, "tiny"))
    train(args)


if __name__ == "__main__":
    main()
