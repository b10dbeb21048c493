import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { orAborted } from '../async/abort.js';
import {
  assistantMessage,
  type ModelAnswer,
  type ResponseItem,
  type Step,
  type Usage,
} from './model-items.js';
import type { ModelRequest } from './model-request.js';

export { controlledMessage, type ControlledMessage } from './controlled-message.js';
export * from './model-items.js';
export * from './model-request.js';
export { demoScript } from './demo-script.js';
export * from './resume-script.js';

/** Decides on an answer by what the request holds; `n` counts requests from 1. */
export type ModelScript = (request: ModelRequest, n: number) => ModelAnswer | Promise<ModelAnswer>;

export interface ModelServer {
  /** The base URL of a provider: `http://127.0.0.1:<port>/v1`. */
  url: string;
  /** Every request for a response so far, oldest first. */
  requests: readonly ModelRequest[];
  /** Breaks off what is still open. */
  close: () => Promise<void>;
}

/**
 * Starts a model on loopback that answers as the script says: the OpenAI Responses API, streamed. A script that
 * throws is a status 500 with its message.
 */
export async function startModelServer(options: {
  script: ModelScript;
  port?: number;
}): Promise<ModelServer> {
  const requests: ModelRequest[] = [];
  const server = createServer((incoming, response) => {
    respond(incoming, response, options.script, requests).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else sendJson(response, 500, { error: { message: String(error) } });
    });
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

/** The part of `codexConfig` that makes codex use the server at `url`. */
export const modelProvider = (url: string) => ({
  model_provider: 'scripted',
  model_providers: { scripted: { name: 'scripted', base_url: url, wire_api: 'responses' } },
});

async function respond(
  incoming: IncomingMessage,
  response: ServerResponse,
  script: ModelScript,
  requests: ModelRequest[],
): Promise<void> {
  const body = await text(incoming);
  const { pathname } = new URL(incoming.url ?? '/', 'http://model');
  if (incoming.method !== 'POST' || !pathname.endsWith('/responses')) {
    return sendJson(response, 404, { error: { message: `no ${incoming.method} ${pathname} here` } });
  }
  const request: ModelRequest = {
    n: requests.length + 1,
    at: Date.now(),
    headers: incoming.headers,
    body: JSON.parse(body) as ModelRequest['body'],
  };
  requests.push(request);
  const answer = await script(request, request.n);
  const failure = answer.find((element) => isStep(element) && element.step === 'fail');
  if (failure && isStep(failure) && failure.step === 'fail') {
    return sendJson(response, failure.status, failure.body, failure.headers);
  }
  await streamAnswer(response, answer, `resp_${request.n}`);
}

async function streamAnswer(response: ServerResponse, answer: ModelAnswer, id: string): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const headers = answer.map((element) =>
    isStep(element) && element.step === 'headers' ? element.headers : {},
  );
  response.writeHead(200, Object.assign({ 'content-type': 'text/event-stream' }, ...headers) as Headers);
  const send: Send = async (type, data) => {
    gone.signal.throwIfAborted();
    const whole = `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
    if (!response.write(whole)) await once(response, 'drain', { signal: gone.signal });
  };
  let counts: Usage = {};
  await send('response.created', { response: { id } });
  for (const element of answer) {
    if (!isStep(element)) await sendItem(send, element);
    else if (element.step === 'usage') counts = element.usage;
    else if (element.step === 'stream') await sendPieces(send, element.pieces);
    else if (element.step === 'hold') await orAborted(element.until, gone.signal);
    else if (element.step === 'cut') return void response.destroy();
  }
  await send('response.completed', { response: { id, usage: usageOf(counts) } });
  response.end();
}

type Headers = Record<string, string>;
type Send = (type: string, data: object) => Promise<void>;

const isStep = (element: ResponseItem | Step): element is Step => 'step' in element;

async function sendItem(send: Send, item: ResponseItem): Promise<void> {
  if (item.type === 'message') return sendPieces(send, wordsOf(item), item);
  await send('response.output_item.done', { item });
}

async function sendPieces(
  send: Send,
  pieces: AsyncIterable<string> | Iterable<string>,
  message: ResponseItem = assistantMessage(''),
): Promise<void> {
  await send('response.output_item.added', { item: { ...message, content: [] } });
  let whole = '';
  for await (const delta of pieces) {
    whole += delta;
    await send('response.output_text.delta', { item_id: message['id'], delta });
  }
  const content = [{ type: 'output_text', text: whole }];
  await send('response.output_item.done', { item: { ...message, content } });
}

function wordsOf({ content }: ResponseItem): string[] {
  return (content as { text: string }[]).flatMap((part) => part.text.split(/(?<= )/));
}

const usageOf = ({ input = 10, cached = 0, output = 5, reasoning = 0 }: Usage) => ({
  input_tokens: input,
  input_tokens_details: { cached_tokens: cached },
  output_tokens: output,
  output_tokens_details: { reasoning_tokens: reasoning },
  total_tokens: input + output,
});

function sendJson(response: ServerResponse, status: number, body: unknown, headers: Headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
