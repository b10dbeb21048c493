import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text as readText } from 'node:stream/consumers';

/** One output item of the Responses API. */
export type OutputItem = Record<string, unknown>;

export interface ModelRequest {
  authorization: string | undefined;
  body: Record<string, unknown>;
}

export interface ModelStub {
  baseUrl: string;
  requests: ModelRequest[];
  /** What the next requests are answered with, one list of items each; then "done". */
  replies: OutputItem[][];
  /** The next answer opens its stream and never goes on. */
  hang: boolean;
  close(): Promise<void>;
}

/** A model server on loopback that says what it was told to. */
export async function startModelStub(): Promise<ModelStub> {
  const requests: ModelRequest[] = [];
  const stub: Omit<ModelStub, 'baseUrl' | 'close'> = { requests, replies: [], hang: false };
  const server = createServer((request, response) => void answer(stub, request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(stub, {
    baseUrl: `http://127.0.0.1:${port}/v1`,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  });
}

export const says = (words: string): OutputItem => ({
  type: 'message',
  role: 'assistant',
  id: `m-${words.length}`,
  content: [{ type: 'output_text', text: words }],
});

export const runs = (cmd: string, more: Record<string, unknown> = {}): OutputItem => ({
  type: 'function_call',
  id: 'f1',
  call_id: 'c1',
  name: 'exec_command',
  arguments: JSON.stringify({ cmd, ...more }),
});

async function answer(
  stub: Omit<ModelStub, 'baseUrl' | 'close'>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readText(request);
  if (!request.url?.endsWith('/responses')) return void response.writeHead(404).end('{}');
  stub.requests.push({
    authorization: request.headers.authorization,
    body: JSON.parse(body) as Record<string, unknown>,
  });
  const id = `r${stub.requests.length}`;
  const send = (type: string, data: object) =>
    response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  send('response.created', { response: { id } });
  if (stub.hang) return;
  for (const item of stub.replies.shift() ?? [says('done')]) send('response.output_item.done', { item });
  send('response.completed', { response: { id, usage: USAGE } });
  response.end();
}

const USAGE = {
  input_tokens: 10,
  input_tokens_details: { cached_tokens: 0 },
  output_tokens: 5,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: 15,
};
