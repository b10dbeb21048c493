import type { CodexTaskInput } from '../contract/index.js';
import { TaskError } from '../errors.js';

/** The options of `start` that become fields of the input. */
export interface StartFlags {
  prompt?: string;
  mode?: string;
  instructions?: string;
  model?: string;
  effort?: string;
  pool?: string;
  seed?: string;
  apiKeyEnv?: string;
  /** False by `--no-credential`. */
  credential?: boolean;
  sandbox?: string;
  network?: true;
  grant?: string[];
  approvalPolicy?: string;
  approvalTimeout?: number;
  env?: string[];
  passEnv?: string[];
  resume?: string;
  /** What the file holds. */
  outputSchema?: unknown;
}

/**
 * The input that the options ask for, over the one of a file. What the values may be is checked with the
 * whole input later.
 * @throws TaskError `BadInput` for options that cannot be read or exclude each other
 */
export function inputOf(base: unknown, flags: StartFlags): CodexTaskInput {
  if (typeof base !== 'object' || base === null || Array.isArray(base))
    throw new TaskError('BadInput', 'input: expected a JSON object');
  const file = base as Record<string, unknown>;
  const { prompt, mode, instructions, model, effort, passEnv, outputSchema } = flags;
  const fields = {
    ...given({ prompt, mode, instructions, model, effort, passEnv, outputSchema }),
    ...part(file, 'sandbox', {
      mode: flags.sandbox,
      network: flags.network,
      grants: flags.grant?.map(grantOf),
    }),
    ...part(file, 'approvals', { policy: flags.approvalPolicy, timeoutMs: flags.approvalTimeout }),
    ...part(file, 'env', flags.env && Object.fromEntries(flags.env.map(variableOf))),
    ...given({ credential: credentialOf(flags) }),
    ...given({ resume: flags.resume === undefined ? undefined : { snapshotKey: flags.resume } }),
  };
  return { ...file, ...fields };
}

function given(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** One object of the input, changed where options say so. */
function part(
  file: Record<string, unknown>,
  key: string,
  fields: Record<string, unknown> = {},
): Record<string, unknown> {
  const set = given(fields);
  return Object.keys(set).length === 0 ? {} : { [key]: { ...(file[key] as object | undefined), ...set } };
}

function credentialOf({ pool, seed, apiKeyEnv, credential }: StartFlags): object | undefined {
  const chosen = [
    pool !== undefined && { pool },
    seed !== undefined && { seedId: seed },
    apiKeyEnv !== undefined && { apiKeyEnv },
    credential === false && { none: true },
  ].filter((choice) => choice !== false);
  if (chosen.length <= 1) return chosen[0];
  throw new TaskError('BadInput', 'Give one of --pool, --seed, --api-key-env and --no-credential');
}

function grantOf(text: string): { path: string; access: string } {
  const colon = text.lastIndexOf(':');
  if (colon <= 0)
    throw new TaskError('BadInput', `--grant: expected PATH:ro or PATH:rw, got ${JSON.stringify(text)}`);
  return { path: text.slice(0, colon), access: text.slice(colon + 1) };
}

function variableOf(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals <= 0) throw new TaskError('BadInput', '--env: expected NAME=VALUE');
  return [text.slice(0, equals), text.slice(equals + 1)];
}
