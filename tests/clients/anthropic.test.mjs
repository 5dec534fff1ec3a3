// Anthropic's official client.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import Anthropic from '@anthropic-ai/sdk';

import { models, startServer, weatherTool } from './server.mjs';

const base = { max_tokens: 200, temperature: 0, thinking: { type: 'disabled' } };
const question = [{ role: 'user', content: 'What is the capital of France?' }];
const weather = [{ role: 'user', content: 'What is the weather in Tokyo?' }];
const tools = [
  {
    name: weatherTool.function.name,
    description: weatherTool.function.description,
    input_schema: weatherTool.function.parameters,
  },
];

for (const model of models) {
  describe(`anthropic on ${model.name}`, () => {
    let server, client;
    before(async () => {
      server = await startServer(model.folder, ['--api-key', 'test-key']);
      client = new Anthropic({ baseURL: server.url, apiKey: 'test-key', maxRetries: 0 });
    });
    after(async () => {
      assert.equal(await server.stop(), 0, server.log());
    });

    test('answers', async () => {
      const message = await client.messages.create({ model: model.name, ...base, messages: question });
      assert.equal(message.content.at(-1).text, 'The capital of France is Paris.');
      assert.equal(message.stop_reason, 'end_turn');
    });

    test('streams', async () => {
      const stream = client.messages.stream({ model: model.name, ...base, messages: question });
      let text = '';
      stream.on('text', (piece) => (text += piece));
      const message = await stream.finalMessage();
      assert.equal(text, 'The capital of France is Paris.');
      assert.ok(message.usage.output_tokens > 0);
    });

    test('calls a tool and takes its result', async () => {
      const stream = client.messages.stream({ model: model.name, ...base, messages: weather, tools });
      const first = await stream.finalMessage();
      assert.equal(first.stop_reason, 'tool_use');
      const call = first.content.find((block) => block.type === 'tool_use');
      assert.deepEqual(call.input, { city: 'Tokyo' });
      const second = await client.messages.create({
        model: model.name,
        ...base,
        tools,
        messages: [
          ...weather,
          { role: 'assistant', content: first.content },
          { role: 'user', content: [{ type: 'tool_result', tool_use_id: call.id, content: 'sunny' }] },
        ],
      });
      assert.ok(second.content.length > 0);
    });

    test('counts tokens as they will be', async () => {
      const count = await client.messages.countTokens({ model: model.name, messages: question, thinking: base.thinking });
      const message = await client.messages.create({ model: model.name, ...base, messages: question });
      const usage = message.usage;
      assert.equal(count.input_tokens, usage.input_tokens + usage.cache_read_input_tokens);
    });

    test('refuses a wrong key', async () => {
      const other = new Anthropic({ baseURL: server.url, apiKey: 'wrong', maxRetries: 0 });
      await assert.rejects(
        other.messages.create({ model: model.name, ...base, messages: question }),
        Anthropic.AuthenticationError,
      );
    });
  });
}
