// A caller's program that runs a worker as a function. The folder of the package and the settings are the arguments.
import { pathToFileURL } from 'node:url';

const [, , folder, settings] = process.argv;
const { runWorker } = await import(pathToFileURL(`${folder}/lib/worker/index.js`).href);
const ending = new AbortController();
process.once('SIGTERM', () => ending.abort());
await runWorker(JSON.parse(settings), {
  signal: ending.signal,
  onReady: (line) => console.log(JSON.stringify(line)),
});
console.log('drained');
