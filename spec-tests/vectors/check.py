#!/usr/bin/env python3
"""Checks the sampling, Philox, stop and reasoning vectors against an independent implementation.

The implementation follows the clauses of docs/SPEC.md in float64 and shares no code with the generators of the vectors
or the engine, so only a mistake that was made twice remains undetected. It uses only the standard library. It exits with
1 on a mismatch; the last line is `N passed, M failed`. It reads the vectors of this repository, or those of a given folder.
"""

import codecs
import copy
import json
import math
import pathlib
import struct
import sys

FOLDER = pathlib.Path(__file__).parent.parent / "conform" / "vectors"
F32_MAX = (2 - 2**-23) * 2.0**127
OPEN, CLOSE = "<think>", "</think>"
BLANK = " \t\r\n"


# --- Philox (TS-3.17 to TS-3.20) ---


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        left, right = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [
            (right >> 32) ^ c[1] ^ k[0],
            right & 0xFFFFFFFF,
            (left >> 32) ^ c[3] ^ k[1],
            left & 0xFFFFFFFF,
        ]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def draw_number(seed, choice, position):
    bits = seed % 2**64
    key, counter = [bits % 2**32, bits // 2**32], [position, choice, 0, 0]
    words = philox(counter, key)
    uniform = ((words[0] >> 5) * 2**26 + (words[1] >> 6)) / 2**53
    return {"key": key, "counter": counter, "words": words, "uniform": uniform}


def run_philox(case):
    if "seed" in case:
        return draw_number(int(case["seed"]), case["choice"], case["position"])
    return {"words": philox(case["counter"], case["key"])}


# --- Sampling (TS-3.1 to TS-3.15) ---


def float32(value):
    return struct.unpack("<f", struct.pack("<f", max(-F32_MAX, min(F32_MAX, value))))[0]


def adjusted(case, token, z):
    """Applies steps 2 and 3. Returns the logit, and True if it was changed."""
    parameters, output = case["parameters"], case["output"]
    count, touched = output.count(token), False
    bias = parameters.get("logit_bias", {}).get(str(token))
    if bias is not None:
        z, touched = z + bias, True
    penalty = parameters.get("repetition_penalty")
    if penalty is not None and (count > 0 or token in case["prompt"]):
        z, touched = (z / penalty if z > 0 else z * penalty), True
    for name, times in (("frequency_penalty", count), ("presence_penalty", 1)):
        if name in parameters and count > 0:
            z, touched = z - parameters[name] * times, True
    return (float32(z), True) if touched else (z, False)


def run_sampling(case):
    parameters = case["parameters"]
    holes = set(case.get("no_token", []))
    row = {t: float(z) for t, z in enumerate(case["logits"][: case["vocab_size"]]) if t not in holes}
    values = row.values()
    if any(math.isnan(z) or z == math.inf for z in values) or not any(math.isfinite(z) for z in values):
        return {"error": "internal_error"}
    row = {t: z for t, z in row.items() if z > -math.inf and t not in case.get("forbidden", [])}
    if not row:
        return {"error": "internal_error"}
    changed = {}
    for token in row:
        row[token], touched = adjusted(case, token, row[token])
        if touched:
            changed[str(token)] = "-0" if row[token] == 0 and math.copysign(1, row[token]) < 0 else row[token]
    result = {"adjusted": changed} if changed else {}
    order = sorted(row, key=lambda token: (-row[token], token))
    temperature = parameters.get("temperature", 1)
    if temperature == 0:
        return {"token": order[0], "kept": order[:1], **result}

    def weight(token):
        return math.exp((row[token] - row[order[0]]) / temperature)

    kept = order[: parameters.get("top_k", len(order))]
    top_p = parameters.get("top_p", 1)
    if top_p < 1:
        reached, target = 0.0, top_p * sum(map(weight, kept))
        for index, token in enumerate(kept):
            reached += weight(token)
            if reached >= target:
                kept = kept[: index + 1]
                break
    least = parameters.get("min_p", 0)
    kept = [token for token in kept if weight(token) >= least]
    threshold = draw_number(case["seed"], case["choice"], len(case["output"]))["uniform"] * sum(map(weight, kept))
    reached, drawn = 0.0, kept[-1]
    for token in kept:
        reached += weight(token)
        if reached > threshold:
            drawn = token
            break
    return {"token": drawn, "kept": kept, **result}


# --- Text: stop sequences and reasoning (TS-5.1 to TS-5.10, TS-6.1 to TS-6.8) ---


class Stop:
    """Matches stop sequences in the answer's text, character by character."""

    def __init__(self, stop, include):
        self.stop, self.include = stop, include
        self.held, self.stopped = "", None

    def take(self, text):
        out = ""
        for character in text:
            if self.stopped is not None:
                break
            self.held += character
            complete = [one for one in self.stop if self.held.endswith(one)]
            if complete:
                self.stopped = max(complete, key=len)
                out += self.held if self.include else self.held[: len(self.held) - len(self.stopped)]
                self.held = ""
                break
            while self.held and not any(one.startswith(self.held) for one in self.stop):
                out, self.held = out + self.held[0], self.held[1:]
        return out

    def end(self):
        out, self.held = self.held, ""
        return out


class Reader:
    """Separates reasoning from the answer. Emitted text is final."""

    def __init__(self, case):
        self.opened = case["opened"]
        self.separate = case["separate"]
        self.stop = Stop(case["stop"], case["include"])
        self.phase = "reasoning" if self.opened else "start"
        self.pending = ""
        self.reasoning = "" if self.opened else None
        self.frame = OPEN if self.opened else ""
        self.closed = False

    def take(self, text, is_over=False):
        """Returns the newly emitted reasoning and content."""
        self.pending += text
        gained, content = "", ""
        if not self.separate:
            content, self.frame = self.frame, ""
        if self.phase == "start":
            begun = self.pending.lstrip(BLANK)
            if begun.startswith(OPEN):
                blank = self.pending[: len(self.pending) - len(begun)]
                content += "" if self.separate else blank + OPEN
                self.phase, self.reasoning, self.pending = "reasoning", "", begun[len(OPEN) :]
            elif is_over or not OPEN.startswith(begun):
                self.phase = "answer"
        if self.phase == "reasoning":
            before, tag, behind = self.pending.partition(CLOSE)
            if tag:
                gained = self._reason(before.rstrip(BLANK) if self.separate else before)
                content += "" if self.separate else before + CLOSE
                self.phase, self.pending, self.closed = "gap", behind, True
            elif self.separate:
                keep = before
                for length in range(min(len(CLOSE) - 1, len(keep)), 0, -1):
                    if keep.endswith(CLOSE[:length]):
                        keep = keep[:-length]
                        break
                keep = keep.rstrip(BLANK)
                if keep:
                    gained = self._reason(keep)
                    self.pending = before[len(keep) :]
            elif is_over:
                content, self.pending = content + before, ""
        if self.phase == "gap":
            answer = self.pending.lstrip(BLANK)
            blank = self.pending[: len(self.pending) - len(answer)]
            content += "" if self.separate else blank
            self.pending = answer
            if answer:
                self.phase = "answer"
        if self.phase == "answer":
            content += self.stop.take(self.pending)
            self.pending = ""
        if is_over and self.stop.stopped is None:
            content += self.stop.end()
        return {"reasoning": gained, "content": content}

    def _reason(self, text):
        if not self.reasoning:
            text = text.lstrip(BLANK)
        self.reasoning += text
        return text


def decoder():
    return codecs.getincrementaldecoder("utf-8")("replace")


def piece_bytes(piece):
    return piece.encode("utf-8") if isinstance(piece, str) else bytes(piece)


def run_stop(case):
    utf8, stop, released = decoder(), Stop(case["stop"], case["include"]), []
    for piece in case["pieces"]:
        released.append(stop.take(utf8.decode(piece_bytes(piece))))
        if stop.stopped is not None:
            break
    final, tokens = "", len(released)
    if stop.stopped is None:
        tokens += case["end"] == "end_token"
        final = stop.take(utf8.decode(b"", final=True)) + stop.end()
    is_stop = stop.stopped is not None or case["end"] == "end_token"
    return {
        "released": released,
        "final": final,
        "text": "".join(released) + final,
        "stopped": stop.stopped,
        "finish_reason": "stop" if is_stop else "length",
        "completion_tokens": tokens,
    }


def run_reasoning(case):
    utf8, reader, deltas, closed_at = decoder(), Reader(case), [], None
    for piece in case["pieces"]:
        deltas.append(reader.take(utf8.decode(piece_bytes(piece))))
        if reader.closed and closed_at is None:
            closed_at = len(deltas)
        if reader.stop.stopped is not None:
            break
    final, tokens = {"reasoning": "", "content": ""}, len(deltas)
    if reader.stop.stopped is None:
        final = reader.take(utf8.decode(b"", final=True), is_over=True)
        tokens += case["end"] == "end_token"
    has_reasoning = reader.reasoning is not None
    result = {
        "content": "".join(delta["content"] for delta in [*deltas, final]),
        "reasoning_tokens": 0 if not has_reasoning else tokens if closed_at is None else closed_at,
        "completion_tokens": tokens,
        "stopped": reader.stop.stopped,
        "finish_reason": "stop" if reader.stop.stopped is not None or case["end"] == "end_token" else "length",
    }
    if case["separate"]:
        result |= {"deltas": deltas, "final": final, "reasoning_content": reader.reasoning}
    return result


# --- The vectors ---

RUNNERS = {"sampling": run_sampling, "philox": run_philox, "stop": run_stop, "reasoning": run_reasoning}


def wrong_copy(value):
    """Returns the value with its first number, text or null changed, which must cause a mismatch."""
    value = copy.deepcopy(value)
    place = value
    while True:
        name = next(iter(place)) if isinstance(place, dict) else 0
        if isinstance(place[name], (dict, list)) and place[name]:
            place = place[name]
            continue
        place[name] = place[name] + 1 if isinstance(place[name], (int, float)) else "wrong"
        return value


def main(folder):
    num_passed, num_failed = 0, 0
    for kind, run in RUNNERS.items():
        cases = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))["cases"]
        if not cases:
            print(f"{kind}: no cases")
            num_failed += 1
            continue
        for case in cases:
            actual = run(case)
            if actual == case["expected"]:
                num_passed += 1
                continue
            num_failed += 1
            print(f"{case['id']} ({case['clause']}): {case['what']}\n  expected {json.dumps(case['expected'])}\n  actual   {json.dumps(actual)}")
        if run(cases[0]) == wrong_copy(cases[0]["expected"]):
            print(f"{kind}: the canary passed: a wrong expectation is not detected")
            num_failed += 1
    print(f"{num_passed} passed, {num_failed} failed")
    return 1 if num_failed > 0 else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
