#!/usr/bin/env python3
"""How soon a streamed chat answer begins when a long system prompt was seen before: time_to_first_token.py CHECKPOINT...

Over HTTP, with everything on the way: JSON, the chat template, tokenising. Per checkpoint, medians over several prompts of
WORDS words (the default is about 3000 tokens) and a short question, with thinking off where the model can:
  cold     nothing cached
  memory   the same system prompt, another question
  disk     the same after the server was stopped (SIGTERM) and started again
"""
import argparse
import http.client
import json
import pathlib
import random
import re
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
WORDS = "time year people way day man thing woman life child world school state family student group country problem hand part".split()


class Server:
    def __init__(self, program: pathlib.Path, checkpoint: str, folder: str):
        self.process = subprocess.Popen(
            [program, checkpoint, "--no-streaming", "--port", "0", "--disk-kv-dir", folder],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise SystemExit(f"{checkpoint}: the server did not start")

    def first_token(self, system: str, question: str) -> tuple[float, dict]:
        """Seconds from sending the request to the first piece of the answer, and the usage."""
        body = json.dumps({"messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
                           "max_tokens": 16, "temperature": 0, "chat_template_kwargs": {"enable_thinking": False},
                           "stream": True, "stream_options": {"include_usage": True}})
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        begin = time.perf_counter()
        connection.request("POST", "/v1/chat/completions", body)
        response = connection.getresponse()
        if response.status != 200:
            raise SystemExit(f"status {response.status}: {response.read()[:300]}")
        first, usage = None, {}
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            usage = chunk.get("usage") or usage
            deltas = [choice["delta"] for choice in chunk["choices"]]
            if first is None and any(delta.get("content") or delta.get("reasoning_content") for delta in deltas):
                first = time.perf_counter() - begin
        if first is None:
            raise SystemExit(f"no text in the answer, usage {usage}")
        return first, usage

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def measure(program: pathlib.Path, checkpoint: str, words: int, prompts: int) -> None:
    rng = random.Random(1)
    systems = [" ".join(rng.choice(WORDS) for _ in range(words)) for _ in range(prompts)]
    times: dict[str, list[float]] = {"cold": [], "memory": [], "disk": []}
    reused: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as folder:
        for rounds in (["cold", "memory"], ["disk"]):
            server = Server(program, checkpoint, folder)
            server.first_token("Be brief.", "Hello?")  # touches the weights
            for i, system in enumerate(systems):
                for kind in rounds:
                    seconds, usage = server.first_token(system, f"What is {kind} number {i}?")
                    times[kind].append(seconds)
                    reused[kind] = usage["prompt_tokens_details"]["cached_tokens"]
                    if (reused[kind] > 0) != (kind != "cold"):
                        raise SystemExit(f"{checkpoint}: {reused[kind]} tokens cached in a {kind} run")
            server.stop()
    cold, memory, disk = (1e3 * statistics.median(times[kind]) for kind in ("cold", "memory", "disk"))
    print(f"{pathlib.Path(checkpoint).name:26} {usage['prompt_tokens']} tokens  cold {cold:7.1f} ms  memory {memory:6.2f} ms "
          f"({reused['memory']} reused) {cold / memory:5.1f} x  disk {disk:6.2f} ms ({reused['disk']} reused) {cold / disk:5.1f} x",
          flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", nargs="+")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--words", type=int, default=2100)
    parser.add_argument("--prompts", type=int, default=5)
    options = parser.parse_args()
    for checkpoint in options.checkpoint:
        measure(options.build / "mach-serve", checkpoint, options.words, options.prompts)


if __name__ == "__main__":
    main()
