import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { runRoot } from './run-root.js';

export const SHARED_FOLDER = 'shared';

/** What the test processes of a run have in common: the servers, and the package as it is built. */
export type SharedThing = 'mongodb' | 'temporal' | 'temporal-short-runs' | 'package';

/** Where they ask for it. */
export const sharedSocket = (): string => join(runRoot(), SHARED_FOLDER, 'ask.sock');

/** Where the thing is that the run shares; the first to ask waits until it is made. @throws Error why it cannot be */
export async function askShared(thing: SharedThing): Promise<string> {
  const [status, body] = await new Promise<[number | undefined, string]>((resolve, reject) => {
    const call = request({ socketPath: sharedSocket(), path: `/${thing}` }, (response) => {
      text(response).then((answer) => resolve([response.statusCode, answer]), reject);
    });
    call.once('error', reject);
    call.end();
  });
  if (status === 200) return body;
  throw new Error(body);
}
