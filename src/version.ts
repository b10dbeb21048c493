import { readFileSync } from 'node:fs';

/** The version in package.json, which lies above the sources and above the build alike. */
export const VERSION: string = (
  JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
).version;
