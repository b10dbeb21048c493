#!/usr/bin/env node
import { run } from './program.js';

// A reader that has seen enough (`codex-task ls | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await run(process.argv.slice(2));
// Workers of Temporal that were made and never run keep the process alive forever.
setTimeout(() => process.exit(), 5_000).unref();
