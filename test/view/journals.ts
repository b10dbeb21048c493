import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import type { NumberedEvent } from '../../src/contract/index.js';
import { readEvent } from '../../src/input/events/read-event.js';
import { TEST_FOLDERS } from '../workflows/histories.js';

const FOLDER = new URL('./journals/', import.meta.url);

export type Journal = readonly NumberedEvent[];

/** The events of real tasks that were recorded, by what happened to them. */
export const realJournals: ReadonlyMap<string, Journal> = new Map(
  readdirSync(FOLDER).map((file) => [
    file.replace('.jsonl', ''),
    parse(readFileSync(new URL(file, FOLDER), 'utf8')),
  ]),
);

/** What the original recorded of its own stream for its widget (deai-network/optio, Apache-2.0). */
export const originalRecording = parse(
  readFileSync(new URL('./original-recording.jsonl', import.meta.url), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line, i) => `{"id":${i + 1},"event":${line}}`)
    .join('\n'),
);

/** Keeps a task's events for the tests of views, when the run is asked to record (SAVE_JOURNALS=1). */
export async function saveJournal(name: string, journal: Journal): Promise<void> {
  if (!process.env['SAVE_JOURNALS']) return;
  const lines = journal.map(({ id, event }) => JSON.stringify({ id, event }));
  await writeFile(new URL(`${name}.jsonl`, FOLDER), `${lines.map(withoutPlaces).join('\n')}\n`);
}

function parse(text: string): Journal {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const { id, event } = JSON.parse(line) as { id: number; event: Record<string, unknown> };
      return { id, ...readEvent(event) };
    });
}

/** Without the paths and names of the machine it was recorded on. */
const withoutPlaces = (line: string): string =>
  [process.cwd(), homedir(), hostname()]
    .reduce((text, place) => text.replaceAll(place, '/place'), line)
    .replace(TEST_FOLDERS, '/place');
