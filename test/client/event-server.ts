import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface EventServer {
  readonly url: string;
  /** Every request so far, with its `Last-Event-ID`. */
  readonly requests: {
    readonly url: string;
    readonly last: string | undefined;
    readonly auth: string | undefined;
  }[];
  close(): Promise<void>;
}

/** One answer to one request, in order; the last one is repeated. */
export type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** A listener that answers as told. */
export async function startEventServer(...answers: Answer[]): Promise<EventServer> {
  const requests: EventServer['requests'] = [];
  const server = createServer((request, response) => {
    const { 'last-event-id': last, authorization: auth } = request.headers;
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push({ url: request.url ?? '', last: last as string | undefined, auth });
    answer?.(response, request);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/tasks/t1`,
    requests,
    async close() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

export const frame = (id: number, event: object): string => `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`;
export const closed = { type: 'x-optio-closed', reason: 'completed', outcome: 'completed' };

/** Sends these frames; `end` says what becomes of the connection then. */
export const stream =
  (frames: string[], end: 'end' | 'cut' | 'assignment' = 'end'): Answer =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const finish = () => (end === 'cut' ? response.destroy() : end === 'end' && response.end());
    response.write(`: hello\n\n${frames.join('')}`, finish);
  };

export const status =
  (code: number, body = ''): Answer =>
  (response) =>
    void response.writeHead(code).end(body);
