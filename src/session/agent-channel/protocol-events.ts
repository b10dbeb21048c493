import type { OwnEvent } from '../../contract/index.js';
import type { Journal } from '../../journal/journal.js';
import { Pace } from '../conversation/pace.js';

/** A burst of events, and milliseconds for each further one: an agent may write lines faster than anybody reads. */
const BURST = 500;
const EVERY_MS = 50;

type LineEvent = OwnEvent extends infer E ? (E extends { line: number } ? Omit<E, 'line'> : never) : never;

/** Writes events for lines of the agent's log: each line once, and no more than clients can read. */
export interface ProtocolEvents {
  /** The newest line with an event. */
  readonly lastLine: number;
  /** Drops the event when too many came. */
  tell(line: number, event: LineEvent): void;
  emitAlways(line: number, event: LineEvent): void;
  /** Resolves when all events are in the file. */
  flush(): Promise<void>;
}

export function openProtocolEvents(
  journal: Pick<Journal, 'append' | 'flushed'>,
  toldBefore: number,
): ProtocolEvents {
  let lastLine = toldBefore;
  let dropped = 0;
  let droppedAt = 0;
  const pace = new Pace(BURST, EVERY_MS);
  let isDirty = false;

  function write(line: number, { type, ...rest }: LineEvent): void {
    // `line` comes second: an adopting worker looks for it there.
    journal.append(JSON.stringify({ type, line, ...rest, at: Date.now() }));
    lastLine = line;
    isDirty = true;
  }

  function reportDropped(): void {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    write(droppedAt, { type: 'x-optio-log-dropped', lines });
  }

  return {
    get lastLine() {
      return lastLine;
    },
    tell(line, event) {
      if (line <= lastLine) return;
      if (!pace.take()) {
        dropped++;
        droppedAt = line;
        return;
      }
      reportDropped();
      write(line, event);
    },
    emitAlways(line, event) {
      if (line <= lastLine) return;
      reportDropped();
      write(line, event);
    },
    async flush() {
      if (dropped > 0 && pace.take()) reportDropped();
      if (!isDirty) return;
      isDirty = false;
      await journal.flushed();
    },
  };
}

const READ_BYTES = 1024 * 1024;
const LINE = /^data: \{"type":"x-optio-[a-z-]+","line":(\d+)[,}]/gm;

/** The newest line of the log that an event of the journal names. */
export async function lastLineIn(journal: Pick<Journal, 'read'>): Promise<number> {
  let newest = 0;
  for (let after = 0; ;) {
    const frames = await journal.read(after, READ_BYTES);
    if (!frames) return newest;
    after = frames.lastId;
    for (const [, line] of frames.bytes.toString('utf8').matchAll(LINE))
      newest = Math.max(newest, Number(line));
  }
}
