import { destination, pino, type Logger } from 'pino';
import type { LogLevel } from './config.js';

export type Log = Logger;

/** JSON log lines on stderr: stdout belongs to results. Write an event and its fields, never prose or a secret. */
export const createLog = (level: LogLevel): Log =>
  pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination({ dest: 2, sync: true }));
