import { BUDGETS, cutLines } from '../budgets/budgets.js';
import type { TaskStatus } from '../contract/index.js';

/**
 * The task's state as a page of Markdown for the Temporal UI.
 * @param summary what the task was started for, where the UI does not show it itself
 */
export function describe(status: TaskStatus, summary: string | null = null): string {
  const { state, host, listener, model, threadId, turns, usage, pending, warnings, lastError } = status;
  const { parkedUntil, waitingFor, progress } = status;
  const facts = [
    `**${state}**`,
    parkedUntil && `out of quota until ${parkedUntil}`,
    host && `host \`${host}\``,
    model && `model \`${model}\``,
    threadId && `thread \`${threadId}\``,
    `${turns} turns, ${usage.totalTokens} tokens`,
  ];
  const lines = [
    summary ?? '',
    facts.filter(Boolean).join(' · '),
    listener ? `Events: ${listener.url}/events` : '',
    waitingFor ?? '',
    progress ? `Progress: ${progress.percent === null ? '' : `${progress.percent}% `}${progress.text}` : '',
    ...pending
      .slice(0, SHOWN_REQUESTS)
      .map(({ requestId, summary }) => `- waits for a decision on \`${requestId}\`: ${summary}`),
    lastError === undefined ? '' : `Last error: ${lastError}`,
    ...warnings.map((warning) => `Warning: ${warning}`),
  ];
  return cutLines(lines.filter((line) => line !== '').join('\n\n'), BUDGETS.details);
}

/** Shows at most this many requests; the query `pendingPermissions` has all. */
const SHOWN_REQUESTS = 20;
