import { createServer } from 'node:http';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { testFolder } from '../support/folders.js';

export interface Call {
  id: number;
  method: string;
  params?: unknown;
}

export interface FakeAppServer {
  socketPath: string;
  /** Everything that clients sent, in order. */
  calls: Call[];
  /** Sends to every client. */
  send(message: unknown): void;
  sendText(text: string): void;
  /** Drops every client without a word. */
  drop(): void;
}

/** A WebSocket on a unix socket that answers as the test says; without an answer it is silent. */
export async function startFakeAppServer(answer?: (call: Call) => unknown): Promise<FakeAppServer> {
  const socketPath = join(await testFolder(), 's.sock');
  const http = createServer();
  const server = new WebSocketServer({ server: http });
  const clients = new Set<WebSocket>();
  const calls: Call[] = [];
  server.on('connection', (client) => {
    clients.add(client);
    client.on('message', (data) => {
      const call = JSON.parse((data as Buffer).toString()) as Call;
      calls.push(call);
      const reply = answer?.(call);
      if (reply !== undefined) client.send(JSON.stringify({ id: call.id, ...(reply as object) }));
    });
  });
  await new Promise<void>((resolve) => http.listen(socketPath, resolve));
  const drop = () => clients.forEach((client) => client.terminate());
  onTestFinished(async () => {
    drop();
    await new Promise((resolve) => http.close(resolve));
  });
  const sendText = (text: string) => clients.forEach((client) => client.send(text));
  return { socketPath, calls, send: (message) => sendText(JSON.stringify(message)), sendText, drop };
}
