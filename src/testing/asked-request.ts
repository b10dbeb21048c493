import * as v from 'valibot';
import { describeRequest, type DescribedRequest } from '../codex/requests.js';
import * as is from '../input/checks.js';
import { parse } from '../input/parse.js';
import type { TaskSpec } from '../contract/task-spec.js';
import { quoteWord } from './shell-quote.js';

/** A question of codex, as a script writes it. The task shows it with codex's own parameters, as a real one. */
export type AskedRequest =
  | {
      kind: 'command';
      /** What the shell is to run. */
      command: string;
      /** Default: the workdir. */
      cwd?: string;
      reason?: string;
    }
  | { kind: 'fileChange'; changes: AskedChange[]; reason?: string }
  | {
      kind: 'permissions';
      /** As codex has it: `network`, `fileSystem`. */
      permissions: Record<string, unknown>;
      reason?: string;
    }
  | { kind: 'userInput'; questions: AskedQuestion[] }
  | {
      kind: 'elicitation';
      /** The MCP server that asks. */
      serverName: string;
      message: string;
      /** JSON Schema of the form that is to be filled in. */
      requestedSchema?: Record<string, unknown>;
    };

/** A file that codex wants to write, and how. */
export interface AskedChange {
  /** Below the workdir, or absolute. */
  path: string;
  /** Default: empty. */
  diff?: string;
}

/** One question of a `userInput` request; a decision answers it by its id. */
export interface AskedQuestion {
  id: string;
  question: string;
  /** Labels to choose from. */
  options?: string[];
}

/** Where in its thread codex asks. */
export interface AskedAt {
  readonly threadId: string;
  readonly turnId: string;
  readonly itemId: string;
  readonly workDir: string;
}

const change = is.strict<AskedChange>({ path: is.text, diff: v.optional(is.anyString) });
const question = is.strict<AskedQuestion>({
  id: is.name,
  question: is.text,
  options: v.optional(is.list(is.text)),
});
const some = <T extends v.GenericSchema>(item: T) => v.pipe(is.list(item), v.minLength(1, 'at least one'));
const reason = v.optional(is.text);

type OfKind<K extends AskedRequest['kind']> = Extract<AskedRequest, { kind: K }>;
const SCHEMAS: { readonly [K in AskedRequest['kind']]: v.GenericSchema } = {
  command: is.strict<OfKind<'command'>>({
    kind: is.text,
    command: is.text,
    cwd: v.optional(is.hostPath),
    reason,
  }),
  fileChange: is.strict<OfKind<'fileChange'>>({ kind: is.text, changes: some(change), reason }),
  permissions: is.strict<OfKind<'permissions'>>({ kind: is.text, permissions: is.object, reason }),
  userInput: is.strict<OfKind<'userInput'>>({ kind: is.text, questions: some(question) }),
  elicitation: is.strict<OfKind<'elicitation'>>({
    kind: is.text,
    serverName: is.text,
    message: is.text,
    requestedSchema: v.optional(is.object),
  }),
};

const KINDS = Object.keys(SCHEMAS);
const anyRequest = is.strict({ kind: is.oneOf(...KINDS) });

/** Checks what a script asks. @throws TaskError `BadInput` with a line for each fault */
export function parseAsked(value: unknown): AskedRequest {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? String(value.kind) : '';
  const schema = (SCHEMAS as Record<string, v.GenericSchema | undefined>)[kind] ?? anyRequest;
  return parse<AskedRequest>('asks', schema, value, ['permissions', 'requestedSchema']);
}

/** The request as a host shows it: its kind, a line for people, codex's parameters. */
export function describeAsked(
  asked: AskedRequest,
  { workDir, ...ids }: AskedAt,
  { approvals, sandbox }: TaskSpec,
): DescribedRequest {
  const { method, params, changes } = wireOf(asked, workDir);
  const known = { policy: approvals.policy, network: sandbox.network };
  const described = describeRequest(method, { ...ids, ...params }, changes, known);
  if (!described) throw new Error(`Codex has no request of this form: ${JSON.stringify(asked)}`);
  return described;
}

interface Wire {
  method: string;
  params: Record<string, unknown>;
  changes?: unknown;
}

function wireOf(asked: AskedRequest, workDir: string): Wire {
  const why = 'reason' in asked && asked.reason !== undefined ? { reason: asked.reason } : {};
  switch (asked.kind) {
    case 'command': {
      const { command, cwd = workDir } = asked;
      const wrapped = `/bin/bash -lc ${quoteWord(command)}`;
      const actions = { commandActions: [{ type: 'unknown', command }], environmentId: 'local' };
      return {
        method: 'item/commandExecution/requestApproval',
        params: { kind: 'command', startedAtMs: Date.now(), ...why, command: wrapped, cwd, ...actions },
      };
    }
    case 'fileChange': {
      const changes = asked.changes.map(({ path, diff = '' }) => ({
        path: path.startsWith('/') ? path : `${workDir}/${path}`,
        kind: { type: 'update', move_path: null },
        diff,
      }));
      return {
        method: 'item/fileChange/requestApproval',
        params: { startedAtMs: Date.now(), ...why, grantRoot: null },
        changes,
      };
    }
    case 'permissions':
      return {
        method: 'item/permissions/requestApproval',
        params: { startedAtMs: Date.now(), cwd: workDir, ...why, permissions: asked.permissions },
      };
    case 'userInput':
      return {
        method: 'item/tool/requestUserInput',
        params: {
          questions: asked.questions.map(({ id, question, options }) => ({
            id,
            header: id,
            question,
            options: options?.map((label) => ({ label, description: '' })) ?? null,
          })),
        },
      };
    case 'elicitation': {
      const { serverName, message, requestedSchema = { type: 'object', properties: {} } } = asked;
      return {
        method: 'mcpServer/elicitation/request',
        params: { serverName, mode: 'form', message, requestedSchema },
      };
    }
  }
}
