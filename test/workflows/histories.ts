import { readdir, readFile, writeFile } from 'node:fs/promises';
import type { Client } from '@temporalio/client';
import { historyFromJSON, historyToJSON } from '@temporalio/common/lib/proto-utils.js';

const FOLDER = new URL('../histories/', import.meta.url);

/** Keeps the history of an ended task for the replay test, when the run is asked to record (SAVE_HISTORIES=1). */
export async function saveHistory(client: Client, workflowId: string, name: string): Promise<void> {
  if (!process.env['SAVE_HISTORIES']) return;
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  await writeFile(new URL(`${name}.json`, FOLDER), `${historyToJSON(history)}\n`);
}

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
