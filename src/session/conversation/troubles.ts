import { BUDGETS, cutLines } from '../../budgets/budgets.js';
import { maskSecrets } from '../../codex/codex-log.js';
import { isRecord } from '../../codex/narrow.js';
import type { Rpc } from '../../codex/rpc.js';

const LIST_MS = 2_000;
/** Most commands named in one warning, and the longest part of each in characters. */
const NAMED = 5;
const COMMAND_CHARS = 200;
/** Most warnings of one session. */
const MAX_SAID = 20;

/**
 * Notifications of Codex about something that fails while the task continues, and the warning for each; null: none.
 * Only clients see the others.
 */
const TROUBLES: Readonly<Record<string, (params: Readonly<Record<string, unknown>>) => string | null>> = {
  // Codex brings its own bubblewrap for systems without one.
  configWarning: ({ summary }) =>
    typeof summary === 'string' && !summary.includes('bubblewrap') ? `codex: ${summary}` : null,
  warning: ({ message }) => codexSays(message),
  guardianWarning: ({ message }) => codexSays(message),
  'mcpServer/startupStatus/updated': ({ name, status, error }) =>
    status === 'failed'
      ? `MCP server ${text(name)} has no tools here, as it did not start: ${text(error)}`
      : null,
  'mcpServer/oauthLogin/completed': ({ name, success, error }) =>
    success === false ? `MCP server ${text(name)}: its login failed: ${text(error)}` : null,
};

const text = (value: unknown): string =>
  typeof value === 'string' && value !== '' ? value : 'nothing more is known';
const codexSays = (message: unknown): string | null =>
  typeof message === 'string' ? `codex: ${message}` : null;

/** Warnings of a session, each once. */
export interface Troubles {
  /** Checks whether this notification reports something that fails. */
  seen(method: string, params: unknown): void;
  say(warning: string): void;
}

/**
 * @param warnings gets the warnings, for readers at the session's start and end
 * @param secrets are masked in them
 * @param tell is told of each at once
 */
export function openTroubles(
  warnings: string[],
  secrets: readonly string[],
  tell: (warning: string) => void,
): Troubles {
  let said = 0;
  function say(warning: string): void {
    const line = cutLines(maskSecrets(warning, secrets), BUDGETS.warning);
    if (warnings.includes(line) || said >= MAX_SAID) return;
    said++;
    warnings.push(line);
    tell(line);
  }
  return {
    say,
    seen(method, params) {
      const warning = isRecord(params) && Object.hasOwn(TROUBLES, method) ? TROUBLES[method]!(params) : null;
      if (warning !== null) say(warning);
    },
  };
}

/** The warning when Codex is to end while commands of its thread run; null: none runs, or Codex does not tell. */
export async function commandsThatEnd(rpc: Pick<Rpc, 'call'>, threadId: string): Promise<string | null> {
  const method = 'thread/backgroundTerminals/list';
  const answer = await rpc.call(method, { threadId }, { timeoutMs: LIST_MS }).catch(() => null);
  if (answer === null) return null;
  const commands = answer.data.map(({ command }) => command);
  if (commands.length === 0) return null;
  const named = commands.slice(0, NAMED).map((command) => JSON.stringify(command.slice(0, COMMAND_CHARS)));
  const more = commands.length > NAMED ? ` and ${commands.length - NAMED} more` : '';
  return `Commands that still ran were ended with the session, and what they had not written is missing: ${named.join(', ')}${more}`;
}
