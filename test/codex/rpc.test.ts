import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { connectRpc, type RpcOptions, type Rpc } from '../../src/codex/rpc.js';
import { RpcClosed, RpcError, RpcTimeout } from '../../src/codex/rpc-errors.js';
import { startFakeAppServer, type FakeAppServer } from '../fakes/app-server.js';
import { testFolder } from '../support/folders.js';
import { standStill } from '../support/stand-still.js';
import { until } from '../support/until.js';
import { startTestCodex } from './test-codex.js';

interface Heard {
  what: string;
  raw: string;
  id?: unknown;
}

async function connectTo(server: FakeAppServer, options?: RpcOptions) {
  const heard: Heard[] = [];
  const rpc = await connectRpc(
    server.socketPath,
    {
      onNotification: (what, _params, raw) => heard.push({ what, raw }),
      onRequest: (id, what, _params, raw) => heard.push({ what, raw, id }),
      onUnparseable: (raw) => heard.push({ what: 'unparseable', raw }),
    },
    options,
  );
  onTestFinished(() => rpc.close());
  return { rpc, heard };
}

const silent = { onNotification: () => undefined, onRequest: () => undefined };
const call = (rpc: Rpc, method = 'm', timeoutMs = 20_000) => rpc.request(method, {}, { timeoutMs });

describe('a real app-server', () => {
  test('answers calls, refuses bad ones and ends them when it dies', async () => {
    const codex = await startTestCodex();
    await expect(call(codex.rpc, 'model/list')).resolves.toHaveProperty('data');
    await expect(call(codex.rpc, 'no/such/method')).rejects.toMatchObject({
      name: 'RpcError',
      method: 'no/such/method',
      code: -32600,
    });
    await expect(
      codex.rpc.call(
        'turn/steer',
        { threadId: codex.threadId, expectedTurnId: 'x', input: [] },
        { timeoutMs: 20_000 },
      ),
    ).rejects.toThrow(RpcError);
    codex.model.hang = true;
    await codex.startTurn('true');
    process.kill(codex.server.pid, 'SIGKILL');
    expect(await codex.rpc.closed).toMatch(/closed/);
    await expect(call(codex.rpc)).rejects.toThrow(RpcClosed);
  });

  test('numbers its requests from 0, and takes their answers', async () => {
    const codex = await startTestCodex({ approvals: 'on-request' });
    const escalated = { sandbox_permissions: 'require_escalated', justification: 'test' };
    await codex.startTurn('echo ran-unconfined', escalated);
    const { id } = await codex.saw('item/commandExecution/requestApproval');
    expect(id).toBe(0);
    codex.rpc.respond(id!, { decision: 'accept' });
    await codex.saw('turn/completed');
    expect(JSON.stringify(codex.model.requests.at(-1)?.body)).toContain('ran-unconfined');
  });

  test('answers a text with a lone surrogate, which reaches the model as U+FFFD', async () => {
    const codex = await startTestCodex();
    const input = [{ type: 'text' as const, text: 'half \ud83d of 😀 and \\ud83d' }];
    await codex.rpc.call('turn/start', { threadId: codex.threadId, input }, { timeoutMs: 20_000 });
    await codex.saw('turn/completed');
    expect(JSON.stringify(codex.model.requests.at(-1)?.body)).toContain('half \ufffd of 😀 and \\\\ud83d');
  });
});

test('passes on messages in wire order, with their text', async () => {
  const server = await startFakeAppServer();
  const { heard } = await connectTo(server);
  const messages = [
    { method: 'a', params: { n: 1 } },
    { method: 'b', id: 0 },
    { method: 'c', id: 'x' },
  ];
  messages.forEach((message) => server.send(message));
  await until('three messages', () => heard.length === 3);
  expect(heard).toEqual([
    { what: 'a', raw: '{"method":"a","params":{"n":1}}' },
    { what: 'b', raw: '{"method":"b","id":0}', id: 0 },
    { what: 'c', raw: '{"method":"c","id":"x"}', id: 'x' },
  ]);
});

test('a message that is no JSON-RPC is passed on as text and does no harm', async () => {
  const server = await startFakeAppServer(() => ({ result: 'fine' }));
  const { rpc, heard } = await connectTo(server);
  const texts = ['not json', '[1]', '"text"', 'null', '7', '{}', '{"id":99}'];
  texts.forEach((text) => server.sendText(text));
  server.sendText('{"id":99,"result":1}');
  await expect(call(rpc)).resolves.toBe('fine');
  expect(heard).toEqual(texts.map((raw) => ({ what: 'unparseable', raw })));
});

test('a message of 100 MB arrives whole', async () => {
  const server = await startFakeAppServer();
  const { heard } = await connectTo(server);
  server.send({ method: 'big', params: 'x'.repeat(100_000_000) });
  await until('the message', () => heard.length === 1);
  expect(heard[0]?.raw.length).toBeGreaterThan(100_000_000);
});

test('at most 32 calls are in flight; the others follow in order', async () => {
  const held: number[] = [];
  const server = await startFakeAppServer(({ id }) => void held.push(id));
  const { rpc } = await connectTo(server);
  const calls = Array.from({ length: 40 }, (_, n) => call(rpc, `m${n}`));
  await until('32 calls', () => held.length === 32);
  server.send({ id: held[0], result: 'first' });
  await expect(calls[0]).resolves.toBe('first');
  await until('one more', () => held.length === 33);
  for (let answered = 1; answered < 40; answered++) {
    await until('the next call', () => held.length > answered);
    server.send({ id: held[answered], result: answered });
  }
  await Promise.all(calls);
  expect(server.calls.map(({ method }) => method)).toEqual(calls.map((_, n) => `m${n}`));
});

test('the deadline of a call starts when it is sent, and its expiry frees a slot', async () => {
  const server = await startFakeAppServer(({ method }) =>
    method === 'quick' ? { result: 'done' } : undefined,
  );
  const { rpc } = await connectTo(server, { maxInFlight: 1 });
  const slow = call(rpc, 'slow', 1_500).catch((error: unknown) => error);
  const quick = call(rpc, 'quick', 1_000);
  await expect(slow).resolves.toEqual(new RpcTimeout('slow', 1_500));
  await expect(quick).resolves.toBe('done');
});

test('an answer that arrived while this process was suspended is not late', async () => {
  const server = await startFakeAppServer(() => {
    setImmediate(() => standStill(300));
    return { result: 'in time' };
  });
  const { rpc } = await connectTo(server);
  await expect(call(rpc, 'm', 200)).resolves.toBe('in time');
});

test('a late answer is dropped', async () => {
  const server = await startFakeAppServer();
  const { rpc, heard } = await connectTo(server);
  await expect(call(rpc, 'slow', 20)).rejects.toThrow('codex did not answer slow within 20 ms');
  server.send({ id: 1, result: 'late' });
  server.send({ method: 'after' });
  await until('the next message', () => heard.length === 1);
});

test('an overloaded call is retried within its deadline; any other error is the answer', async () => {
  let refusals = 2;
  const server = await startFakeAppServer(({ method }) =>
    method === 'busy' && refusals-- <= 0
      ? { result: 'at last' }
      : { error: { code: method === 'bad' ? -32600 : -32001, message: 'no', data: { why: 1 } } },
  );
  const { rpc } = await connectTo(server);
  await expect(call(rpc, 'busy')).resolves.toBe('at last');
  await expect(call(rpc, 'busier', 200)).rejects.toThrow(RpcTimeout);
  await expect(call(rpc, 'bad')).rejects.toMatchObject({ code: -32600, data: { why: 1 } });
});

test('an abort ends a call, sent or waiting', async () => {
  const server = await startFakeAppServer();
  const { rpc } = await connectTo(server, { maxInFlight: 1 });
  const controller = new AbortController();
  const options = { timeoutMs: 20_000, signal: controller.signal };
  const calls = ['sent', 'waiting'].map((method) => rpc.request(method, {}, options));
  const outcomes = Promise.allSettled(calls);
  await until('the first call', () => server.calls.length === 1);
  controller.abort(new Error('not wanted'));
  for (const outcome of await outcomes) expect(outcome).toMatchObject({ reason: { message: 'not wanted' } });
  await expect(rpc.request('later', {}, options)).rejects.toThrow('not wanted');
  expect(server.calls).toHaveLength(1);
});

test('the end of the connection rejects every call with its reason, sent or waiting', async () => {
  const server = await startFakeAppServer();
  const { rpc } = await connectTo(server, { maxInFlight: 1 });
  const outcomes = Promise.allSettled([call(rpc), call(rpc)]);
  await until('the first call', () => server.calls.length === 1);
  server.drop();
  for (const outcome of await outcomes)
    expect(outcome).toMatchObject({ reason: expect.any(RpcClosed) as unknown });
  expect(await rpc.closed).toBe('connection closed (1006)');
  expect(() => rpc.respond(0, {})).toThrow(RpcClosed);
  expect(() => rpc.notify('n')).toThrow(RpcClosed);
});

test('messages sent before a close still arrive', async () => {
  const server = await startFakeAppServer();
  const { rpc } = await connectTo(server);
  rpc.respond(0, { decision: 'accept' });
  rpc.respondError(1, -32601, 'unknown');
  rpc.close();
  expect(await rpc.closed).toBe('closed by this side');
  await until('both answers', () => server.calls.length === 2);
  expect(server.calls).toEqual([
    { id: 0, result: { decision: 'accept' } },
    { id: 1, error: { code: -32601, message: 'unknown' } },
  ]);
});

test('a handler that throws closes the connection, so that no event is skipped', async () => {
  const server = await startFakeAppServer();
  const rpc = await connectRpc(server.socketPath, {
    ...silent,
    onNotification() {
      throw new Error('disk full');
    },
  });
  server.send({ method: 'a' });
  expect(await rpc.closed).toBe('handler failed: disk full');
});

test('connecting fails when nobody listens and when nobody answers', async () => {
  const folder = await testFolder();
  await expect(connectRpc(join(folder, 'none.sock'), silent)).rejects.toThrow(
    /connection to codex is closed: .*ENOENT/,
  );
  const mute = await startMuteServer(join(folder, 'mute.sock'));
  await expect(connectRpc(mute, silent, { timeoutMs: 50 })).rejects.toThrow('no handshake within 50 ms');
  const signal = AbortSignal.abort(new Error('not wanted'));
  await expect(connectRpc(mute, silent, { signal })).rejects.toThrow('not wanted');
});

async function startMuteServer(path: string): Promise<string> {
  const server = createServer((socket) => socket.on('error', () => undefined)).listen(path);
  onTestFinished(() => void server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  return path;
}
