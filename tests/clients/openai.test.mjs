// The official OpenAI client.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import OpenAI from 'openai';

import { addTool, models, quick, startServer, weatherTool } from './server.mjs';

const question = [{ role: 'user', content: 'What is the capital of France?' }];
const weather = [{ role: 'user', content: 'What is the weather in Tokyo?' }];
const tools = [weatherTool, addTool];

for (const model of models) {
  describe(`openai on ${model.name}`, () => {
    let server, client;
    before(async () => {
      server = await startServer(model.folder);
      client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 });
    });
    after(async () => {
      assert.equal(await server.stop(), 0, server.log());
    });
    const chat = (more) => client.chat.completions.create({ model: model.name, ...quick, ...more });

    test('lists the model', async () => {
      const list = await client.models.list();
      assert.equal(list.data.length, 1);
      const one = await client.models.retrieve(list.data[0].id);
      assert.equal(one.id, list.data[0].id);
      await assert.rejects(client.models.retrieve('another'), OpenAI.NotFoundError);
    });

    test('answers', async () => {
      const answer = await chat({ messages: question });
      assert.equal(answer.choices[0].message.content, 'The capital of France is Paris.');
      assert.equal(answer.choices[0].finish_reason, 'stop');
      assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
    });

    test('streams the same answer, with usage at the end', async () => {
      const stream = await chat({ messages: question, stream: true, stream_options: { include_usage: true } });
      let text = '';
      let usage, reason;
      for await (const chunk of stream) {
        text += chunk.choices[0]?.delta?.content ?? '';
        reason = chunk.choices[0]?.finish_reason ?? reason;
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, 'The capital of France is Paris.');
      assert.equal(reason, 'stop');
      assert.ok(usage.completion_tokens > 0);
    });

    test('calls a tool, takes the result, answers', async () => {
      const first = await chat({ messages: weather, tools });
      const message = first.choices[0].message;
      assert.equal(first.choices[0].finish_reason, 'tool_calls');
      assert.equal(message.tool_calls[0].function.name, 'get_weather');
      assert.deepEqual(JSON.parse(message.tool_calls[0].function.arguments), { city: 'Tokyo' });
      const result = { role: 'tool', tool_call_id: message.tool_calls[0].id, content: 'sunny, 21 degrees' };
      const second = await chat({ messages: [...weather, message, result], tools });
      assert.ok(['stop', 'tool_calls', 'length'].includes(second.choices[0].finish_reason));
      const last = second.choices[0].message;
      assert.ok((last.content ?? '').length > 0 || last.tool_calls?.length > 0);
    });

    test('runs a tool loop by itself', async () => {
      const runner = client.chat.completions.runTools(
        {
          model: model.name,
          ...quick,
          stream: true,
          messages: weather,
          tools: [
            {
              type: 'function',
              function: {
                ...weatherTool.function,
                parse: JSON.parse,
                function: ({ city }) => `sunny in ${city}`,
              },
            },
          ],
        },
        { maxChatCompletions: 3 },
      );
      const results = [];
      runner.on('functionToolCallResult', (result) => results.push(result));
      await runner.done().catch((error) => {
        if (!/maxChatCompletions|final/.test(String(error))) throw error;
      });
      assert.equal(results[0], 'sunny in Tokyo');
    });

    test('gives log-probabilities that cover the content', async () => {
      const answer = await chat({ messages: question, logprobs: true, top_logprobs: 2 });
      const content = answer.choices[0].logprobs.content;
      assert.equal(content.map((token) => token.token).join(''), answer.choices[0].message.content);
      assert.ok(content.every((token) => token.logprob <= 0 && token.top_logprobs.length === 2));
    });

    test('must call a tool where one is required or named', async () => {
      for (const tool_choice of ['required', { type: 'function', function: { name: 'add' } }]) {
        const answer = await chat({ messages: question, tools, tool_choice });
        const call = answer.choices[0].message.tool_calls[0];
        assert.equal(answer.choices[0].finish_reason, 'tool_calls');
        const parameters = tools.find((tool) => tool.function.name === call.function.name).function.parameters;
        assert.deepEqual(Object.keys(JSON.parse(call.function.arguments)).sort(), parameters.required.toSorted());
      }
    });

    test('writes JSON of a schema', async () => {
      const schema = {
        type: 'object',
        properties: { name: { type: 'string', maxLength: 20 }, age: { type: 'integer', minimum: 0, maximum: 150 } },
        required: ['name', 'age'],
        additionalProperties: false,
      };
      const answer = await chat({
        messages: [{ role: 'user', content: 'JSON for Emma, 31 years old, living in Oslo.' }],
        response_format: { type: 'json_schema', json_schema: { name: 'person', strict: true, schema } },
      });
      const person = JSON.parse(answer.choices[0].message.content);
      assert.deepEqual(Object.keys(person).sort(), ['age', 'name']);
      assert.ok(Number.isInteger(person.age));
      await assert.rejects(
        chat({
          messages: question,
          response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'widget' } } },
        }),
        OpenAI.BadRequestError,
      );
    });

    test('keeps choices apart', async () => {
      const answer = await chat({ messages: question, n: 3, temperature: 1, seed: 1 });
      assert.deepEqual(
        answer.choices.map((choice) => choice.index),
        [0, 1, 2],
      );
    });

    test('stops before a stop string', async () => {
      const answer = await chat({ messages: question, stop: ['Paris'] });
      assert.equal(answer.choices[0].message.content, 'The capital of France is ');
      assert.equal(answer.choices[0].finish_reason, 'stop');
    });

    test('completes a text', async () => {
      const answer = await client.completions.create({
        model: model.name,
        prompt: 'Once upon a time',
        max_tokens: 8,
        temperature: 0,
      });
      assert.ok(answer.choices[0].text.length > 0);
      assert.equal(answer.usage.completion_tokens <= 8, true);
    });

    test('stops work when the client aborts', async () => {
      const stream = await chat({
        messages: [{ role: 'user', content: 'Tell me a story about a fox named Mia.' }],
        stream: true,
        max_tokens: 5000,
        ignore_eos: true,
      });
      let seen = 0;
      for await (const chunk of stream) {
        if (chunk.choices[0]?.delta?.content && ++seen === 5) break; // the client closes the connection
      }
      stream.controller.abort();
      const stats = await server.idle();
      assert.ok(stats.requests.cancelled >= 1);
      const answer = await chat({ messages: question });
      assert.equal(answer.choices[0].message.content, 'The capital of France is Paris.');
    });

    test('serves several clients at once with the same answers', async () => {
      const answers = await Promise.all(Array.from({ length: 6 }, () => chat({ messages: question })));
      for (const answer of answers) {
        assert.equal(answer.choices[0].message.content, 'The capital of France is Paris.');
      }
    });

    test('names the message that is wrong', async () => {
      const wrong = [...question, { role: 'tool', tool_call_id: 'nobody', content: 'x' }];
      await assert.rejects(chat({ messages: wrong }), (error) => {
        assert.ok(error instanceof OpenAI.BadRequestError);
        assert.match(error.param, /^messages\[1\]/);
        return true;
      });
    });

    test('answers through the responses API', async () => {
      const input = 'What is the capital of France?';
      const answer = await client.responses.create({ model: model.name, input, temperature: 0, reasoning: { effort: 'none' }, max_output_tokens: 200 });
      assert.equal(answer.status, 'completed');
      assert.equal(answer.output_text, 'The capital of France is Paris.');
    });

    test('streams through the responses API, tools included', async () => {
      const stream = client.responses.stream({
        model: model.name,
        input: weather,
        temperature: 0,
        max_output_tokens: 200,
        reasoning: { effort: 'none' },
        tools: [{ type: 'function', strict: false, ...weatherTool.function }],
      });
      const seen = new Set();
      for await (const event of stream) seen.add(event.type);
      const final = await stream.finalResponse();
      const call = final.output.find((item) => item.type === 'function_call');
      assert.deepEqual(JSON.parse(call.arguments), { city: 'Tokyo' });
      assert.ok(seen.has('response.function_call_arguments.done'));
      const next = await client.responses.create({
        model: model.name,
        temperature: 0,
        max_output_tokens: 100,
        reasoning: { effort: 'none' },
        tools: [{ type: 'function', strict: false, ...weatherTool.function }],
        input: [...weather, ...final.output, { type: 'function_call_output', call_id: call.call_id, output: 'sunny' }],
      });
      assert.ok(next.output.length > 0);
    });
  });
}
