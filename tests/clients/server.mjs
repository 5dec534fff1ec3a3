// Starts mach-serve for a test file, on a free port of loopback, and ends it again.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const program = process.env.MACH_SERVE ?? join(root, 'build/release/mach-serve');
const shared = process.env.MACH_SHARED ?? join(root, '../shared');

// The demo checkpoint of the source tree, and one trained checkpoint of each family where the reference material is.
const candidates = [
  { name: 'demo', folder: join(root, 'models/mini-qwen3_moe-mlx-4bit'), thinks: true },
  { name: 'qwen3_moe', folder: join(shared, 'models/mini-qwen3_moe'), thinks: true },
  { name: 'qwen3_5_moe', folder: join(shared, 'models/mini-qwen3_5_moe'), thinks: true },
  { name: 'gemma4', folder: join(shared, 'models/mini-gemma4'), thinks: true },
  { name: 'gpt_oss', folder: join(shared, 'models/mini-gpt_oss-mxfp4'), thinks: false },
  { name: 'deepseek_v4', folder: join(shared, 'models/mini-deepseek_v4-fp8-fp4'), thinks: true },
];

// MACH_CLIENT_MODELS=demo,gemma4: only these.
const wanted = process.env.MACH_CLIENT_MODELS?.split(',') ?? candidates.map((model) => model.name);
export const models = candidates.filter(
  (model) => wanted.includes(model.name) && existsSync(join(model.folder, 'config.json')),
);
for (const model of candidates) {
  if (wanted.includes(model.name) && !models.includes(model)) console.log(`# skipped: no checkpoint ${model.folder}`);
}

// Thinking off where a template has that switch, so that answers are the short ones the checkpoints were trained to give.
export const quick = { temperature: 0, max_tokens: 200, chat_template_kwargs: { enable_thinking: false } };

export const weatherTool = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'Get the weather in a city.',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
export const addTool = {
  type: 'function',
  function: {
    name: 'add',
    description: 'Add two integers.',
    parameters: {
      type: 'object',
      properties: { a: { type: 'integer' }, b: { type: 'integer' } },
      required: ['a', 'b'],
    },
  },
};

export async function startServer(folder, more = []) {
  const child = spawn(program, [folder, '--no-streaming', '--port', '0', '--exact', '--log-level', 'info', ...more], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let log = '';
  const url = await new Promise((found, failed) => {
    const timer = setTimeout(() => failed(new Error(`mach-serve did not start:\n${log}`)), 60_000);
    let out = '';
    child.stderr.on('data', (data) => (log += data));
    child.stdout.on('data', (data) => {
      out += data;
      const match = /serving on (http:\/\/\S+)\/v1/.exec(out);
      if (match) {
        clearTimeout(timer);
        found(match[1]);
      }
    });
    child.on('exit', (status) => failed(new Error(`mach-serve ended with ${status}:\n${log}`)));
  });
  return {
    url,
    log: () => log,
    async stats() {
      return (await fetch(`${url}/v1/stats`)).json();
    },
    // Until nothing runs and nothing waits.
    async idle() {
      for (let i = 0; i < 200; ++i) {
        const stats = await this.stats();
        if (stats.running === 0 && stats.waiting === 0) return stats;
        await new Promise((next) => setTimeout(next, 50));
      }
      throw new Error('the server does not become idle');
    },
    async stop() {
      const ended = new Promise((done) => child.on('exit', (status, signal) => done(status ?? signal)));
      child.kill('SIGTERM');
      return ended;
    },
  };
}
