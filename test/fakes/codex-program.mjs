#!/usr/bin/env node
// An app-server that lives and dies as codex does and asks no model: `hold …` is a turn that does not end by itself,
// `ask …` one with a command to be approved, any other ends at once.
import { createHash, randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { WebSocketServer } from 'ws';

if (process.argv.includes('--version')) {
  console.log('codex-cli 0.171.0');
  process.exit();
}
const address = process.argv[process.argv.indexOf('--listen') + 1].slice('unix://'.length);
// Where codex has its own socket, to which the address is a link.
const folder = `/tmp/codex-daemon-${process.geteuid()}`;
const socketPath = join(folder, createHash('sha256').update(address).digest('hex'));
mkdirSync(folder, { recursive: true, mode: 0o700 });
rmSync(socketPath, { force: true });

const threadId = 'thread-1';
const thread = { id: threadId, status: { type: 'idle' }, turns: [] };
const opened = {
  thread,
  model: 'fake',
  reasoningEffort: null,
  approvalsReviewer: 'user',
  activePermissionProfile: { id: ':danger-full-access' },
};
const clients = new Set();
const tell = (method, params) => clients.forEach((each) => each.send(JSON.stringify({ method, params })));
let running = null;

function endTurn(status) {
  if (running === null) return;
  const turn = { id: running, status, items: [], error: null };
  running = null;
  tell('turn/completed', { threadId, turn });
}

function startTurn({ input }) {
  const turn = { id: randomUUID(), status: 'inProgress', items: [], error: null };
  running = turn.id;
  const what = input?.[0]?.text ?? '';
  setImmediate(() => {
    tell('turn/started', { threadId, turn });
    const item = { threadId, turnId: turn.id, itemId: 'item-1' };
    tell('item/agentMessage/delta', { ...item, delta: 'yes' });
    if (what.startsWith('ask')) ask(item);
    else if (!what.startsWith('hold')) endTurn('completed');
  });
  return { turn };
}

function ask(item) {
  const params = { ...item, command: 'echo', cwd: '/', reason: null };
  const request = { id: 0, method: 'item/commandExecution/requestApproval', params };
  clients.forEach((each) => each.send(JSON.stringify(request)));
}

const ANSWERS = {
  initialize: () => ({ codexHome: process.env.CODEX_HOME ?? '', userAgent: 'fake' }),
  'model/list': () => ({ data: [] }),
  'account/read': () => ({ account: { type: 'chatgpt' }, requiresOpenaiAuth: true }),
  'thread/start': () => opened,
  'thread/resume': () => opened,
  'thread/revert': () => ({ thread }),
  'thread/loaded/list': () => ({ data: [threadId] }),
  'thread/turns/list': () => ({ data: [] }),
  'thread/items/list': () => ({ data: [] }),
  'turn/start': startTurn,
  'turn/interrupt': () => {
    setImmediate(() => endTurn('interrupted'));
    return {};
  },
};

const http = createServer();
new WebSocketServer({ server: http }).on('connection', (client) => {
  clients.add(client);
  client.on('close', () => clients.delete(client));
  client.on('message', (data) => {
    const { id, method, params } = JSON.parse(data.toString());
    if (id === undefined || method === undefined) return;
    client.send(JSON.stringify({ id, result: ANSWERS[method]?.(params ?? {}) ?? {} }));
  });
});
process.on('SIGTERM', () => {
  // With a turn the first one is only heard.
  if (running === null) process.exit();
  running = null;
});
http.listen(socketPath, () => {
  rmSync(address, { force: true });
  symlinkSync(socketPath, address);
});
