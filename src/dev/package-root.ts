import { fileURLToPath } from 'node:url';

/** The package's own folder; sources and built files lie equally deep in it. */
export const packageRoot: string = fileURLToPath(new URL('../..', import.meta.url));
