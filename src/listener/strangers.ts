import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Connections on which somebody with a credential has asked. */
const known = new WeakSet<Socket>();

/** Notes that whoever is on this connection has a credential. */
export const welcome = (socket: Socket): void => void known.add(socket);

export const isKnown = (socket: Socket): boolean => known.has(socket);

/** Connections at a time, however many files the system lets the worker have open. */
const MOST = 10_000;
/** Open files that are for the worker itself. */
const OWN_FILES = 64;
const LEAST = 8;

/**
 * Keeps clients without a credential from taking all connections, and all connections from taking the files that the
 * worker needs: such clients get a quarter of the connections at most, and the oldest is closed for the next.
 * @param openFiles what the system lets the worker have open
 */
export function boundConnections(server: Server, openFiles = openFileLimit()): void {
  server.maxConnections = Math.min(MOST, Math.max(LEAST, (openFiles - OWN_FILES) >> 1));
  const maxStrangers = server.maxConnections >> 1;
  const strangers = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    strangers.add(socket);
    socket.once('close', () => strangers.delete(socket));
    if (strangers.size <= maxStrangers) return;
    for (const oldest of strangers) {
      strangers.delete(oldest);
      if (known.has(oldest)) continue;
      oldest.destroy();
      return;
    }
  });
}

/** proc(5): the soft limit, in its own words; a usual one where it is not told. */
function openFileLimit(): number {
  try {
    const [, soft] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    if (soft !== undefined) return Number(soft);
  } catch {
    // Answered below.
  }
  return 1024;
}
