import { readFile, rm } from 'node:fs/promises';
import { FORMATS, versioned } from '../../formats.js';
import type { ThreadItem } from '../../codex/protocol.js';
import type { RecalledEvents } from './recalled-events.js';
import { replaceFile } from '../../task-folder/own-file.js';

/** Bounds what is kept of a long task. */
const KEPT_TURNS = 100;
const KEPT_MESSAGES = 1_000;
const KEPT_REQUESTS = 1_000;

/** `journal/recall.json`: what the events up to an id tell, so that nobody has to read them again. */
interface Checkpoint {
  threadId: string;
  /** Newest event that is included. */
  after: number;
  recalled: Omit<
    RecalledEvents,
    'openItems' | 'endedTurns' | 'endedItems' | 'requests' | 'messages' | 'suspended'
  > & {
    openItems: ThreadItem[];
    endedTurns: string[];
    endedItems: string[];
    requests: [string, 'open' | 'ended'][];
    messages: [string, string][];
  };
}

/** The checkpoint as text, as it is now. `openItems` with their text so far. */
export function encodeCheckpoint(
  threadId: string,
  after: number,
  recalled: RecalledEvents,
  openItems: readonly ThreadItem[],
): string {
  const { suspended: _, endedTurns, endedItems, requests, messages, ...rest } = recalled;
  const inStage = (wanted: 'open' | 'ended') => [...requests].filter(([, stage]) => stage === wanted);
  const checkpoint: Checkpoint = {
    threadId,
    after,
    recalled: {
      ...rest,
      openItems: [...openItems],
      endedTurns: [...endedTurns].slice(-KEPT_TURNS),
      endedItems: [...endedItems],
      // An open one may be older than all ended ones.
      requests: [...inStage('open'), ...inStage('ended').slice(-KEPT_REQUESTS)],
      messages: [...messages].slice(-KEPT_MESSAGES),
    },
  };
  return JSON.stringify(versioned('recall', checkpoint));
}

/** Replaces the checkpoint. Its events must be in the journal. */
export const writeCheckpoint = (file: string, text: string): Promise<void> => replaceFile(file, text);

/**
 * The checkpoint of this thread; null when none fits the journal, whose newest id is `lastId`. Removes one that is
 * ahead of the journal after a power loss, lest it fits when its ids are reused.
 */
export async function readCheckpoint(
  file: string,
  threadId: string,
  lastId: number,
): Promise<{ after: number; recalled: RecalledEvents } | null> {
  const checkpoint = parse(await readFile(file, 'utf8').catch(() => ''));
  if (!checkpoint) return null;
  if (checkpoint.after > lastId || checkpoint.threadId !== threadId) {
    await rm(file, { force: true });
    return null;
  }
  const { openItems, endedTurns, endedItems, requests, messages, ...rest } = checkpoint.recalled;
  return {
    after: checkpoint.after,
    recalled: {
      ...rest,
      suspended: null,
      openItems: new Map(openItems.map((item) => [item.id, item])),
      endedTurns: new Set(endedTurns),
      endedItems: new Set(endedItems),
      requests: new Map(requests),
      messages: new Map(messages),
    },
  };
}

function parse(text: string): Checkpoint | null {
  try {
    const { version, ...checkpoint } = JSON.parse(text) as Checkpoint & { version?: unknown };
    return version === FORMATS.recall.version ? checkpoint : null;
  } catch {
    return null;
  }
}
