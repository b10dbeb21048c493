import { once } from 'node:events';
import pc from 'picocolors';
import { reasonOf, TaskError } from '../errors.js';
import { Interrupted } from './exit-codes.js';

export type Paint = ReturnType<typeof pc.createColors>;

/** Where a command's words go: results on stdout, everything else on stderr; with `--json` stdout is JSON lines. */
export interface Output {
  readonly json: boolean;
  /** Colours of stdout; none when it is no terminal. */
  readonly paint: Paint;
  /** A result: the object with `--json`, else the text for people. */
  result(value: object, text: string): void;
  /** Text for people, without a line end of its own; nothing with `--json`. */
  text(text: string): void;
  /** As it is, to stdout; resolves when its reader takes more, or at an abort. */
  flow(text: string, signal: AbortSignal): Promise<void>;
  /** Progress and hints, on stderr. */
  note(line: string): void;
  /** Why the command failed: `{"error":{code,message,details?}}` on stdout with `--json`, else a line on stderr. */
  error(error: unknown): void;
}

/** The output of this process. */
export function createOutput(
  json: boolean,
  streams: Pick<NodeJS.Process, 'stdout' | 'stderr'> = process,
): Output {
  const { stdout, stderr } = streams;
  // `isTTY` is undefined on a pipe, and `createColors(undefined)` decides by the environment alone.
  const paint = pc.createColors(pc.isColorSupported && stdout.isTTY === true);
  const paintErrors = pc.createColors(pc.isColorSupported && stderr.isTTY === true);
  return {
    json,
    paint,
    result: (value, text) => void stdout.write(`${json ? JSON.stringify(value) : text}\n`),
    text: (text) => void (json || stdout.write(text)),
    async flow(text, signal) {
      if (!stdout.write(text)) await once(stdout, 'drain', { signal }).catch(() => undefined);
    },
    note: (line) => void stderr.write(`${line}\n`),
    error(error) {
      const code =
        error instanceof TaskError ? error.code : error instanceof Interrupted ? 'Interrupted' : 'Failed';
      const message = reasonOf(error);
      const details = error instanceof TaskError ? error.details : undefined;
      if (json) stdout.write(`${JSON.stringify({ error: { code, message, details } })}\n`);
      else stderr.write(`${paintErrors.red('codex-task:')} ${message}\n`);
    },
  };
}

/** Text of others for a terminal: without control characters, which could write anywhere on the screen. */
export const printable = (text: string): string =>
  text.replace(/\r\n/g, '\n').replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, '');
