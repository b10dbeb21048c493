import { readFile } from 'node:fs/promises';
import { onTestFinished } from 'vitest';
import { assistantMessage, hold } from '../../src/dev/model-server.js';
import { readDeadline, uptimeSeconds } from '../../src/process/deadline.js';
import { isAlive } from '../../src/process/process-identity.js';
import type { LedgerRecord } from '../../src/task-folder/ledger.js';
import { seedOf } from '../store/support.js';
import { until } from '../support/until.js';
import { startAccountSession, type AccountOptions, type AccountSession } from './account/account-session.js';

/** A real codex with a leased account in a turn that goes on until the model is released. */
export interface HeldTurn extends AccountSession {
  readonly turnId: string;
  release(): void;
  /** Its codex lives. */
  lives(): Promise<boolean>;
  /** What the ledger's file holds now. */
  written(): Promise<LedgerRecord[]>;
  /** The newest auth.json on disk is in the seed. */
  isSaved(): Promise<boolean>;
  /** Milliseconds that the lease of its account, and seconds that its deadline, are away. */
  leftMs(): Promise<number>;
  deadlineIn(): Promise<number>;
  /** Names of the signals that its workflow got of these. */
  told(...names: string[]): string[];
}

export async function startHeldTurn(options: AccountOptions = {}): Promise<HeldTurn> {
  let release: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  onTestFinished(() => release());
  const each = await startAccountSession({
    script: () => () => [hold(held), assistantMessage('done')],
    ...options,
  });
  await each.send('long turn');
  const turnId = await until('the turn', () => each.session.thread.turns.runningId);
  const { task, store, lease, session, signals } = each;
  const seed = () => seedOf(store, lease.seedId);
  return {
    ...each,
    turnId,
    release: () => release(),
    lives: () => isAlive(session.record),
    async written() {
      const lines = (await readFile(task.folder.ledger, 'utf8')).trim().split('\n');
      return lines.map((line) => JSON.parse(line) as LedgerRecord);
    },
    isSaved: async () => (await each.inSeed()).equals(await each.onDisk()),
    leftMs: async () => (await seed()).lease!.expiresAt.getTime() - Date.now(),
    deadlineIn: async () => (await readDeadline(task.folder.root))! - uptimeSeconds(),
    told: (...names) => signals.map(({ name }) => name).filter((name) => names.includes(name)),
  };
}
