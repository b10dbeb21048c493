import { readdir, readFile, writeFile } from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import type { Client } from '@temporalio/client';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';

const FOLDER = new URL('../histories/', import.meta.url);

/** The history that is encrypted, with the key `k1` of the tests. */
export const ENCRYPTED = 'encrypted-task';

/** Keeps the history of an ended task for the replay test, when the run is asked to record (SAVE_HISTORIES=1). */
export async function saveHistory(client: Client, workflowId: string, name: string): Promise<void> {
  if (!process.env['SAVE_HISTORIES']) return;
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  const plain = JSON.parse(historyToJSON(history)) as unknown;
  await writeFile(new URL(`${name}.json`, FOLDER), `${JSON.stringify(withoutPlaces(plain))}\n`);
}

/** Without the paths and names of the machine it was recorded on; payloads are base64. */
function withoutPlaces(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPlaces);
  if (typeof value === 'string') return hidePlaces(value);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, each]) => [
    key,
    key === 'data' && typeof each === 'string' ? withoutPlacesIn(each) : withoutPlaces(each),
  ]);
  return Object.fromEntries(fields) as unknown;
}

/** A payload; one that is encrypted is no text and names nothing. */
function withoutPlacesIn(data: string): string {
  const bytes = Buffer.from(data, 'base64');
  const text = bytes.toString('utf8');
  return Buffer.from(text).equals(bytes) ? Buffer.from(hidePlaces(text)).toString('base64') : data;
}

const PLACES = [process.cwd(), homedir(), hostname()];
/** Folders of the run's tests, each below that of its process. */
export const TEST_FOLDERS = /\/[\w/.-]*\/ctt-[0-9a-f]+\/(\w+\/)?t-[\w-]+/g;
const hidePlaces = (text: string) =>
  PLACES.reduce((all, place) => all.replaceAll(place, 'HERE'), text).replace(TEST_FOLDERS, 'HERE');

/** Every saved history, by name. */
export async function savedHistories(): Promise<
  { name: string; history: ReturnType<typeof historyFromJSON> }[]
> {
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith('.json')).sort();
  return Promise.all(
    names.map(async (name) => ({
      name: name.replace(/\.json$/, ''),
      history: historyFromJSON(JSON.parse(await readFile(new URL(name, FOLDER), 'utf8'))),
    })),
  );
}
