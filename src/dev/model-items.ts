import { randomUUID } from 'node:crypto';

/** One item of a model's answer, as the OpenAI Responses API has it. */
export interface ResponseItem {
  type: string;
  [field: string]: unknown;
}

/** What a script may put between the items of its answer. */
export type Step =
  | { step: 'fail'; status: number; headers: Record<string, string>; body: unknown }
  | { step: 'headers'; headers: Record<string, string> }
  | { step: 'hold'; until: Promise<unknown> }
  | { step: 'stream'; pieces: AsyncIterable<string> | Iterable<string> }
  | { step: 'cut' }
  | { step: 'usage'; usage: Usage };

export type ModelAnswer = readonly (ResponseItem | Step)[];

/** Token counts of one response; what is left out counts 0, but input 10 and output 5. */
export interface Usage {
  input?: number;
  cached?: number;
  output?: number;
  reasoning?: number;
}

/** A whole message of the assistant, sent word by word. */
export const assistantMessage = (text: string): ResponseItem => ({
  type: 'message',
  role: 'assistant',
  id: newId('msg'),
  content: [{ type: 'output_text', text }],
});

/** A message sent in the pieces that `pieces` yields, at the time it yields them. */
export const streamedMessage = (pieces: AsyncIterable<string> | Iterable<string>): Step => ({
  step: 'stream',
  pieces,
});

/** A shell command; `escalated` asks to run it outside the sandbox, which asks for permission. */
export function commandCall(
  cmd: string,
  { escalated = false, justification }: { escalated?: boolean; justification?: string } = {},
): ResponseItem {
  return functionCall('exec_command', {
    cmd,
    ...(escalated && { sandbox_permissions: 'require_escalated' }),
    ...(justification !== undefined && { justification }),
  });
}

/** A file change, in codex's patch format. */
export const applyPatch = (patch: string): ResponseItem => ({
  type: 'custom_tool_call',
  id: newId('ctc'),
  call_id: newId('call'),
  name: 'apply_patch',
  input: patch,
});

/** A call of any other function; a tool of an MCP server has the namespace `mcp__<server>`. */
export const functionCall = (
  name: string,
  args: Record<string, unknown>,
  { namespace }: { namespace?: string } = {},
): ResponseItem => ({
  type: 'function_call',
  id: newId('fc'),
  call_id: newId('call'),
  name,
  arguments: JSON.stringify(args),
  ...(namespace !== undefined && { namespace }),
});

/** Answers with an HTTP error in place of a stream; it has to be the only element. */
export const fail = (
  status: number,
  { headers = {}, body = {} }: { headers?: Record<string, string>; body?: unknown } = {},
): Step => ({ step: 'fail', status, headers, body });

/**
 * Answers as the real service does when an account is out of quota; it has to be the only element. Codex takes
 * the time from the headers; without one it does not know when the quota is back.
 */
export const usageLimitReached = (resetsAt: Date | null): Step =>
  fail(429, {
    body: {
      error: { type: 'usage_limit_reached', message: 'The usage limit has been reached', plan_type: 'plus' },
    },
    headers:
      resetsAt === null
        ? {}
        : {
            'x-codex-primary-used-percent': '100',
            'x-codex-primary-window-minutes': '300',
            'x-codex-primary-reset-at': String(Math.ceil(resetsAt.getTime() / 1_000)),
          },
  });

/** Headers of an answer that succeeds, such as those that tell usage limits. */
export const withHeaders = (headers: Record<string, string>): Step => ({ step: 'headers', headers });

/** Keeps the stream open, silent, until the promise settles. */
export const hold = (until: Promise<unknown>): Step => ({ step: 'hold', until });

/** Breaks the connection off, in mid-stream. */
export const cut = (): Step => ({ step: 'cut' });

/** The token counts of this answer. */
export const usage = (numbers: Usage): Step => ({ step: 'usage', usage: numbers });

const newId = (prefix: string) => `${prefix}_${randomUUID().replaceAll('-', '')}`;
