// The Vercel AI SDK through its OpenAI-compatible provider.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateObject, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';

import { models, startServer } from './server.mjs';

const settings = { temperature: 0, maxOutputTokens: 200, maxRetries: 0 };

for (const checkpoint of models) {
  describe(`ai sdk on ${checkpoint.name}`, () => {
    let server, model;
    before(async () => {
      server = await startServer(checkpoint.folder);
      const provider = createOpenAICompatible({
        name: 'mach',
        baseURL: `${server.url}/v1`,
        includeUsage: true,
        supportsStructuredOutputs: true,
        fetch: (url, init) => {
          const body = JSON.parse(init.body);
          body.chat_template_kwargs = { enable_thinking: false };
          return fetch(url, { ...init, body: JSON.stringify(body) });
        },
      });
      model = provider(checkpoint.name);
    });
    after(async () => {
      assert.equal(await server.stop(), 0, server.log());
    });

    test('generates text', async () => {
      const { text, finishReason, usage } = await generateText({
        model,
        ...settings,
        prompt: 'What is the capital of France?',
      });
      assert.equal(text, 'The capital of France is Paris.');
      assert.equal(finishReason, 'stop');
      assert.ok(usage.outputTokens > 0);
    });

    test('streams text', async () => {
      const result = streamText({ model, ...settings, prompt: 'What is the capital of France?' });
      let text = '';
      for await (const piece of result.textStream) text += piece;
      assert.equal(text, 'The capital of France is Paris.');
      assert.equal(await result.finishReason, 'stop');
      assert.ok((await result.usage).inputTokens > 0);
    });

    test('runs a tool loop', async () => {
      const cities = [];
      const result = streamText({
        model,
        ...settings,
        prompt: 'What is the weather in Tokyo?',
        stopWhen: stepCountIs(2),
        tools: {
          get_weather: tool({
            description: 'Get the weather in a city.',
            inputSchema: z.object({ city: z.string() }),
            execute: async ({ city }) => {
              cities.push(city);
              return 'sunny';
            },
          }),
        },
      });
      await result.consumeStream({ onError: (error) => assert.fail(error) });
      assert.equal(cities[0], 'Tokyo');
      assert.equal((await result.steps).length, 2);
    });

    test('generates an object of a schema', async () => {
      const { object } = await generateObject({
        model,
        ...settings,
        schema: z.object({ name: z.string().max(20), age: z.number().int().min(0).max(150) }),
        prompt: 'JSON for Emma, 31 years old, living in Oslo.',
      });
      assert.equal(typeof object.name, 'string');
      assert.ok(Number.isInteger(object.age));
    });

    test('aborts', async () => {
      const controller = new AbortController();
      const result = streamText({
        model,
        ...settings,
        maxOutputTokens: 5000,
        prompt: 'Count from 5 to 30.',
        abortSignal: controller.signal,
      });
      let pieces = 0;
      for await (const piece of result.textStream) {
        if (piece && ++pieces === 3) controller.abort();
      }
      await server.idle();
    });
  });
}
